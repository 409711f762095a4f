//! Questions for a virtual address, to the hardware address of one server: see [`director_core::health::client`].

use super::{Stage, failure};
use crate::platform::clock;
use crate::platform::neighbour::Place;
use crate::platform::tap::{Line, Taps, ends};
use director_core::health::client::{Client, Heard};
use director_core::health::dialogue::{Dialogue, Step};
use director_core::health::{Failure, ProbeId, ProbeSpec};
use director_core::model::{Millis, Mono};
use director_core::wire::Mac;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer to "who has this address" is believed. Chosen: Linux believes its own for 15 to 45 s
/// (`base_reachable_time_ms`). A check that fails asks again at once.
const BELIEVED: Millis = Millis::from_secs(30);
/// Neighbours that are remembered; then all are forgotten. Servers at most (`limits`), so this is never met.
const REMEMBERED: usize = 16_384;

/// Our address, if one is wanted, and the server.
type Key = (Option<IpAddr>, IpAddr);
/// How it is reached, and when that was last seen to work.
type Known = (Place, Mac, Mono);

/// What runs on packet sockets share.
#[derive(Debug)]
pub(super) struct Direct {
    taps: Taps,
    known: Mutex<BTreeMap<Key, Known>>,
}

impl Direct {
    pub(super) fn new(random: u64) -> Self {
        Self { taps: Taps::new(random), known: Mutex::default() }
    }

    /// Asks `server` for the target of `spec`; without a dialogue a handshake is all.
    pub(super) async fn ask(
        &self,
        id: ProbeId,
        (spec, server): (&ProbeSpec, IpAddr),
        dialogue: Option<&mut Dialogue>,
        stage: &mut Stage,
    ) -> Result<(), Failure> {
        let key = (spec.source, server);
        let (place, mac) = match self.recall(key) {
            Some(known) => known,
            None => self.look(key).await?,
        };
        // Until the end says otherwise the neighbour may be another one by now.
        self.forget(key);
        let line = self.taps.line(&place, mac).map_err(|e| failure(&e))?;
        let first = self.taps.first(clock::now().micros().rotate_left(7) ^ id.0);
        let mut talk = Talk::open(spec, &place, line, first)?;
        let result = talk.run(dialogue, stage).await;
        if !matches!(stage, Stage::Connecting) {
            self.remember(key, place, mac);
        }
        result
    }

    async fn look(&self, (source, server): Key) -> Result<(Place, Mac), Failure> {
        let place = match source {
            Some(own) => Place::of(own),
            None => Place::towards(server),
        };
        // An address that is not there yet is our trouble, not the server's.
        let place = place.map_err(|e| Failure::NotAsked(e.to_string()))?;
        match place.resolve(server).await.map_err(|e| failure(&e))? {
            Some(mac) => Ok((place, mac)),
            None => Err(format!("nobody answers for {server} on its segment").into()),
        }
    }

    fn recall(&self, key: Key) -> Option<(Place, Mac)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, mac, at) = known.get(&key)?;
        (at.after(BELIEVED) > clock::now()).then(|| (place.clone(), *mac))
    }

    fn remember(&self, key: Key, place: Place, mac: Mac) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.entry(key).or_insert((place, mac, clock::now()));
    }

    fn forget(&self, key: Key) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&key);
    }
}

/// One connection.
struct Talk {
    client: Client,
    line: Line,
    out: Vec<Vec<u8>>,
}

impl Talk {
    fn open(spec: &ProbeSpec, place: &Place, line: Line, first: u32) -> Result<Self, Failure> {
        let mut out = Vec::new();
        let client = Client::open(ends(place.own, &line, spec.target), first, clock::now(), &mut out);
        let mut talk = Self { client, line, out };
        talk.flush()?;
        Ok(talk)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.line.send(&mut self.out).map_err(|e| failure(&e))
    }

    /// The dialogue bounds the bytes, the caller the time.
    async fn run(&mut self, mut dialogue: Option<&mut Dialogue>, stage: &mut Stage) -> Result<(), Failure> {
        loop {
            let heard = self.hear().await.map_err(|e| failure(&e))?;
            let mut step = Step::Wait;
            if heard.connected {
                *stage = Stage::Asked;
                match &mut dialogue {
                    None => return Ok(()),
                    Some(dialogue) => step = dialogue.open(),
                }
            }
            if let (Some(dialogue), false) = (&mut dialogue, heard.data.is_empty()) {
                *stage = Stage::Answering;
                step = dialogue.feed(&heard.data);
            }
            match step {
                Step::Wait => {}
                Step::Send(bytes) | Step::SendSecret(bytes) => {
                    self.client.send(&bytes, clock::now(), &mut self.out);
                }
                Step::Done(result) => return result.map_err(Failure::Server),
            }
            self.flush()?;
            match &mut dialogue {
                // What the server said before it reset tells more.
                Some(dialogue) if heard.closed || (heard.reset && dialogue.answered()) => {
                    return dialogue.closed().map_err(Failure::Server);
                }
                Some(_) | None if heard.reset && matches!(stage, Stage::Connecting) => {
                    return Err("connection refused".into());
                }
                Some(_) | None if heard.reset => return Err("connection reset by the server".into()),
                Some(_) | None => {}
            }
        }
    }

    /// The next segment of the server, or the time at which something was to be sent again.
    async fn hear(&mut self) -> io::Result<Heard> {
        let packet = match self.client.next_deadline() {
            None => Some(self.line.next().await?),
            Some(at) => {
                let left = Duration::from_micros(at.micros_since(clock::now()));
                timeout(left, self.line.next()).await.ok().transpose()?
            }
        };
        let now = clock::now();
        Ok(match packet {
            Some(packet) => self.client.segment(&packet, now, &mut self.out),
            None => {
                self.client.on_deadline(now, &mut self.out);
                Heard::default()
            }
        })
    }
}

/// Lets the server forget the connection, also when the time was over.
impl Drop for Talk {
    fn drop(&mut self) {
        self.out.extend(self.client.abort());
        // It goes away by itself when this is lost.
        drop(self.flush());
    }
}
