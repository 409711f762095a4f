//! Keys and messages of TLS 1.2 with ECDHE (RFC 5246, RFC 8422, RFC 7627).

use crate::client::{Client, Judged, State, damaged};
use crate::exchange::Exchange;
use crate::hello::{framed, message, vec8};
use crate::reader::Reader;
use crate::record::{Direction, content, plain};
use alloc::vec::Vec;

const BROKEN: &str = "the keys of this TLS connection cannot be made";
/// Bytes of a finished message.
const FINISHED_BYTES: usize = 12;
/// Bytes of a master secret.
const MASTER_BYTES: usize = 48;
/// Curves by number, the one kind of parameters there is.
const NAMED_CURVE: u8 = 3;

impl Client {
    /// The server's half of the key exchange, signed.
    pub(crate) fn server_exchange(&mut self, body: &[u8]) -> Judged {
        let mut reader = Reader(body);
        let parse = |reader: &mut Reader<'_>| {
            reader.u8().filter(|kind| *kind == NAMED_CURVE)?;
            Some((reader.be16()?, reader.vec8()?.to_vec()))
        };
        let (group, theirs) = parse(&mut reader).ok_or_else(|| damaged("key exchange"))?;
        let params = body.get(..body.len() - reader.0.len()).unwrap_or_default();
        let (Some(scheme), Some(signature)) = (reader.be16(), reader.vec16()) else {
            return Err(damaged("signature"));
        };
        let ours = self.ask.random.get(..32).unwrap_or_default();
        let signed = [ours, &self.server_random, params].concat();
        self.signed(scheme, &signed, signature)?;
        self.add(message::SERVER_EXCHANGE, body);
        // What was sent with the hello is for TLS 1.3; the secret may be used all the same, for any group.
        let secret = self.ask.random.last_chunk().ok_or(BROKEN)?;
        let exchange =
            Exchange::new(group, *secret).ok_or("the server wants a key exchange that was not offered")?;
        self.master = exchange.complete(&theirs).ok_or_else(|| damaged("key exchange"))?;
        self.exchange = Some(exchange);
        self.state = State::Done;
        Ok(())
    }

    /// The server has said all; we answer with our half and the first message under the new keys.
    pub(crate) fn server_done(&mut self, body: &[u8], out: &mut Vec<u8>) -> Judged {
        self.add(message::SERVER_DONE, body);
        if self.requested.take().is_some() {
            // No certificates.
            self.say(&framed(message::CERTIFICATE, &[0, 0, 0]), out)?;
        }
        let public = self.exchange.take().and_then(|exchange| exchange.public()).ok_or(BROKEN)?;
        self.say(&framed(message::CLIENT_EXCHANGE, &vec8(&public)), out)?;
        let (suite, hash) = (self.suite.ok_or(BROKEN)?, self.hash());
        let shared = core::mem::take(&mut self.master);
        let ours = self.ask.random.get(..32).unwrap_or_default();
        self.master = if self.bound_master {
            hash.prf(&shared, b"extended master secret", &self.digest(), MASTER_BYTES)
        } else {
            hash.prf(&shared, b"master secret", &[ours, &self.server_random].concat(), MASTER_BYTES)
        };
        let (key, fixed) = (suite.key_bytes(), suite.fixed_nonce_bytes());
        let seed = [&self.server_random[..], ours].concat();
        let block = hash.prf(&self.master, b"key expansion", &seed, 2 * (key + fixed));
        let mut block = Reader(&block);
        let (Some(our_key), Some(their_key)) = (block.take(key), block.take(key)) else {
            return Err(BROKEN.into());
        };
        let (Some(our_nonce), Some(their_nonce)) = (block.take(fixed), block.take(fixed)) else {
            return Err(BROKEN.into());
        };
        self.next_read = Some(Direction::v12(suite, their_key, their_nonce).ok_or(BROKEN)?);
        let write = Direction::v12(suite, our_key, our_nonce);
        out.extend(plain(content::CHANGE_CIPHER, &[1]));
        self.write = Some(write.ok_or(BROKEN)?);
        let finished = hash.prf(&self.master, b"client finished", &self.digest(), FINISHED_BYTES);
        self.say(&framed(message::FINISHED, &finished), out)?;
        self.state = State::ChangeCipher;
        Ok(())
    }

    /// The server has seen the same messages.
    pub(crate) fn finished_12(&mut self, body: &[u8]) -> Judged {
        let wanted = self.hash().prf(&self.master, b"server finished", &self.digest(), FINISHED_BYTES);
        if wanted != body {
            return Err("the server has seen another TLS handshake".into());
        }
        self.state = State::Open;
        Ok(())
    }
}
