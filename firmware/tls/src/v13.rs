//! Keys and messages of TLS 1.3 (RFC 8446).

use crate::client::{Client, Judged, State, damaged};
use crate::hello::{framed, message, vec8};
use crate::reader::Reader;
use crate::record::{Direction, content, plain};
use crate::suite::Suite;
use alloc::vec::Vec;

const BROKEN: &str = "the keys of this TLS connection cannot be made";

impl Client {
    /// The server's half of the key exchange came.
    pub(crate) fn keys_13(&mut self, suite: Suite, group: u16, theirs: &[u8]) -> Judged {
        let exchange = self.exchange.take().filter(|exchange| exchange.group() == group);
        let shared =
            exchange.and_then(|exchange| exchange.complete(theirs)).ok_or_else(|| damaged("key share"))?;
        let hash = self.hash();
        let zeros = [0; 48];
        let zeros = zeros.get(..hash.bytes()).unwrap_or_default();
        let nothing = hash.of(&[]);
        let early = hash.mac(zeros, &[zeros]);
        let handshake = hash.mac(&hash.derive(&early, b"derived", &nothing), &[&shared]);
        let digest = self.digest();
        let ours = hash.derive(&handshake, b"c hs traffic", &digest);
        let servers = hash.derive(&handshake, b"s hs traffic", &digest);
        self.master = hash.mac(&hash.derive(&handshake, b"derived", &nothing), &[zeros]);
        self.read_with(Direction::v13(suite, &servers).ok_or(BROKEN)?)?;
        self.write = Some(Direction::v13(suite, &ours).ok_or(BROKEN)?);
        self.secrets = (ours, servers);
        self.state = State::Extensions;
        Ok(())
    }

    /// The server proves that it has the key of its certificate.
    pub(crate) fn verify(&mut self, body: &[u8]) -> Judged {
        let mut reader = Reader(body);
        let (Some(scheme), Some(signature)) = (reader.be16(), reader.vec16()) else {
            return Err(damaged("signature"));
        };
        let signed = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &self.digest()].concat();
        self.signed(scheme, &signed, signature)?;
        self.add(message::CERTIFICATE_VERIFY, body);
        self.state = State::Finished13;
        Ok(())
    }

    fn finished(&self, secret: &[u8]) -> Vec<u8> {
        let hash = self.hash();
        let key = hash.expand(secret, b"finished", &[], hash.bytes());
        hash.mac(&key, &[&self.digest()])
    }

    /// The server has seen the same messages; we say that we have, too.
    pub(crate) fn finished_13(&mut self, body: &[u8], out: &mut Vec<u8>) -> Judged {
        if self.finished(&self.secrets.1) != body {
            return Err("the server has seen another TLS handshake".into());
        }
        self.add(message::FINISHED, body);
        let (suite, hash) = (self.suite.ok_or(BROKEN)?, self.hash());
        let digest = self.digest();
        let ours = hash.derive(&self.master, b"c ap traffic", &digest);
        let servers = hash.derive(&self.master, b"s ap traffic", &digest);
        // For the sake of middle boxes (RFC 8446 appendix D.4).
        out.extend(plain(content::CHANGE_CIPHER, &[1]));
        if let Some(context) = self.requested.take() {
            // No certificates.
            let body = [vec8(&context), Vec::from([0, 0, 0])].concat();
            self.say(&framed(message::CERTIFICATE, &body), out)?;
        }
        let finished = self.finished(&self.secrets.0);
        self.say(&framed(message::FINISHED, &finished), out)?;
        self.read_with(Direction::v13(suite, &servers).ok_or(BROKEN)?)?;
        self.write = Some(Direction::v13(suite, &ours).ok_or(BROKEN)?);
        self.secrets = (ours, servers);
        self.state = State::Open;
        Ok(())
    }

    /// New keys for what the server says from now on, and perhaps for what we say.
    pub(crate) fn key_update(&mut self, body: &[u8], out: &mut Vec<u8>) -> Judged {
        let suite = self.suite.filter(|suite| suite.v13).ok_or(BROKEN)?;
        let hash = self.hash();
        let next = |secret: &[u8]| hash.expand(secret, b"traffic upd", &[], hash.bytes());
        self.secrets.1 = next(&self.secrets.1);
        self.read_with(Direction::v13(suite, &self.secrets.1).ok_or(BROKEN)?)?;
        if body == [1] {
            let write = self.write.as_mut().ok_or(BROKEN)?;
            out.extend(write.seal(content::HANDSHAKE, &framed(message::KEY_UPDATE, &[0])).ok_or(BROKEN)?);
            self.secrets.0 = next(&self.secrets.0);
            self.write = Some(Direction::v13(suite, &self.secrets.0).ok_or(BROKEN)?);
        }
        Ok(())
    }

    /// Sends a handshake message under the present keys.
    pub(crate) fn say(&mut self, message: &[u8], out: &mut Vec<u8>) -> Judged {
        self.transcript.extend_from_slice(message);
        match &mut self.write {
            Some(write) => out.extend(write.seal(content::HANDSHAKE, message).ok_or(BROKEN)?),
            None => out.extend(plain(content::HANDSHAKE, message)),
        }
        Ok(())
    }
}
