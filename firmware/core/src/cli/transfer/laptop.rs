//! The laptop's end: what to send next, given what came or that nothing came.

use super::depot::digest;
use super::line::Digest;
use super::{BLOCK_BYTES, COMMAND_BYTES, Message, TEXT_MAX, UPGRADE_BLOCK_BYTES, UPGRADE_MAX, VERSION};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Questions in a row that bring nothing new, before it is given up. Chosen: on a line so bad that half of the lines
/// are lost, one in a million pushes of a block fails.
pub const TRIES: u32 = 40;

/// What the laptop does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send these bytes, and wait for a line.
    Send(Vec<u8>),
    /// This line is of no use now; go on waiting.
    Wait,
    /// Done.
    Done,
    /// Over, and why.
    Failed(String),
}

/// Counts questions without progress.
#[derive(Clone, Debug, Default)]
struct Patience(u32);

impl Patience {
    fn ask(&mut self, question: &Message) -> Action {
        self.0 = self.0.saturating_add(1);
        if self.0 > TRIES {
            let text = format!(
                "no sound answer to {TRIES} tries: check cable, speed and that the console is logged in"
            );
            return Action::Failed(text);
        }
        Action::Send(question.emit())
    }
}

fn version(found: u32) -> Option<Action> {
    (found != VERSION).then(|| {
        Action::Failed(format!("the box speaks version {found} of the transfer, this program {VERSION}"))
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Hello,
    Begin,
    Data,
}

/// Pushes a configuration, or an upgrade.
#[derive(Clone, Debug)]
pub struct Push {
    text: Vec<u8>,
    /// Not a configuration but an upgrade.
    upgrade: bool,
    sha256: Digest,
    stage: Stage,
    have: usize,
    patience: Patience,
}

impl Push {
    /// Of this text.
    ///
    /// # Errors
    /// When it is too long.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("{} bytes are too many: at most {TEXT_MAX}", text.len()));
        }
        Ok(Self::of(text.as_bytes().to_vec(), false))
    }

    /// Of an upgrade.
    ///
    /// # Errors
    /// When it is too long for any box.
    pub fn upgrade(bundle: Vec<u8>) -> Result<Self, String> {
        if bundle.len() > UPGRADE_MAX {
            return Err(format!("{} bytes are too many: at most {UPGRADE_MAX}", bundle.len()));
        }
        Ok(Self::of(bundle, true))
    }

    fn of(text: Vec<u8>, upgrade: bool) -> Self {
        let sha256 = digest(&text);
        Self { text, upgrade, sha256, stage: Stage::Hello, have: 0, patience: Patience::default() }
    }

    /// Bytes that have arrived, and all.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.have, self.text.len())
    }

    /// The question of this moment: at the beginning, and when no line came in time.
    pub fn ask(&mut self) -> Action {
        let question = match self.stage {
            Stage::Hello => Message::Hello,
            Stage::Begin if self.upgrade => Message::Offer { length: self.text.len(), sha256: self.sha256 },
            Stage::Begin => Message::Push { length: self.text.len(), sha256: self.sha256 },
            Stage::Data if self.have >= self.text.len() => Message::End(self.sha256),
            Stage::Data => {
                let rest = self.text.get(self.have..).unwrap_or_default();
                let block = if self.upgrade { UPGRADE_BLOCK_BYTES } else { BLOCK_BYTES };
                let bytes = rest.get(..block).unwrap_or(rest).to_vec();
                Message::Data { offset: self.have, bytes }
            }
        };
        self.patience.ask(&question)
    }

    /// A line came.
    pub fn take(&mut self, message: Message) -> Action {
        match (self.stage, message) {
            (Stage::Hello, Message::Version(found)) => {
                if let Some(failed) = version(found) {
                    return failed;
                }
                self.stage = Stage::Begin;
            }
            (Stage::Begin, Message::Have(have)) if have <= self.text.len() => {
                (self.stage, self.have) = (Stage::Data, have);
            }
            // A late answer to a question asked twice brings nothing new and must not cause a question of its own.
            (Stage::Data, Message::Have(have)) if have > self.have && have <= self.text.len() => {
                self.have = have
            }
            // The box lost what it had: another laptop, or it began anew.
            (Stage::Data, Message::Have(have)) if have < self.have && self.patience.0 > 2 => {
                self.have = have;
                return self.ask();
            }
            (Stage::Data, Message::Taken(sha256)) if sha256 == self.sha256 => return Action::Done,
            (_, Message::Refused(why)) => return Action::Failed(format!("refused: {why}")),
            _ => return Action::Wait,
        }
        self.patience = Patience::default();
        self.ask()
    }
}

/// Pulls the running configuration.
#[derive(Clone, Debug, Default)]
pub struct Pull {
    text: Vec<u8>,
    whole: Option<(usize, Digest)>,
    patience: Patience,
}

impl Pull {
    /// From the beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that have arrived, and all, when that is known.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.text.len(), self.whole.map_or(0, |(length, _)| length))
    }

    /// The question of this moment: at the beginning, and when no line came in time.
    pub fn ask(&mut self) -> Action {
        self.patience.ask(&Message::Get(self.text.len()))
    }

    /// A line came.
    pub fn take(&mut self, message: Message) -> Action {
        let Message::Block { offset, length, sha256, bytes } = message else { return Action::Wait };
        if length > TEXT_MAX {
            return Action::Failed(format!("{length} bytes are too many: at most {TEXT_MAX}"));
        }
        if self.whole.is_some_and(|whole| whole != (length, sha256)) {
            // A commit in between: what came is of the old one.
            *self = Self { patience: self.patience.clone(), ..Self::default() };
            return self.ask();
        }
        if offset != self.text.len() {
            return Action::Wait;
        }
        self.whole = Some((length, sha256));
        self.text.extend_from_slice(&bytes);
        if self.text.len() < length && !bytes.is_empty() {
            self.patience = Patience::default();
            return self.ask();
        }
        if self.text.len() == length && digest(&self.text) == sha256 {
            return Action::Done;
        }
        Action::Failed("what came has another SHA-256 than the box said: pull again".to_string())
    }

    /// The text, after [`Action::Done`].
    ///
    /// # Errors
    /// When it is not text.
    pub fn into_text(self) -> Result<String, String> {
        String::from_utf8(self.text).map_err(|_| "what came is not text".to_string())
    }
}

/// Runs one command and gets what it said, whole or not at all.
#[derive(Clone, Debug)]
pub struct Run {
    id: u64,
    command: String,
    said: Pull,
}

impl Run {
    /// A command with an id that was not used before on this console.
    ///
    /// # Errors
    /// When it is too long.
    pub fn new(id: u64, command: &str) -> Result<Self, String> {
        if command.len() > COMMAND_BYTES {
            return Err(format!("the command is too long: at most {COMMAND_BYTES} bytes"));
        }
        Ok(Self { id, command: command.to_string(), said: Pull::new() })
    }

    /// Bytes of its answer that have arrived, and all, when that is known.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        self.said.progress()
    }

    /// The question of this moment: at the beginning, and when no line came in time.
    pub fn ask(&mut self) -> Action {
        let offset = self.said.text.len();
        self.said.patience.ask(&Message::Run { id: self.id, offset, command: self.command.clone() })
    }

    /// A line came.
    pub fn take(&mut self, message: Message) -> Action {
        match self.said.take(message) {
            Action::Send(_) => self.ask(),
            other @ (Action::Wait | Action::Done | Action::Failed(_)) => other,
        }
    }

    /// What it said, after [`Action::Done`].
    ///
    /// # Errors
    /// When it is not text.
    pub fn into_text(self) -> Result<String, String> {
        self.said.into_text()
    }
}
