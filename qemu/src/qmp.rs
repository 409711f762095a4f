//! The QEMU machine protocol: one command at a time, events into the timeline.

use crate::hub::{Cause, Hub, lock};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a command may take. Chosen: QEMU answers from its main loop, which a busy machine delays.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Events kept for waits.
const EVENTS_MAX: usize = 1000;

/// A connection to the monitor of one VM.
#[derive(Debug)]
pub struct Qmp {
    writer: Mutex<(UnixStream, u64)>,
    inbox: Arc<Mutex<Inbox>>,
    hub: Arc<Hub>,
    node: String,
}

#[derive(Debug, Default)]
struct Inbox {
    greeted: bool,
    ended: bool,
    answers: Vec<Value>,
    events: Vec<String>,
}

impl Qmp {
    /// Talks over `stream`, whose other end QEMU holds.
    ///
    /// # Errors
    /// When QEMU does not greet.
    pub fn start(node: &str, stream: UnixStream, hub: &Arc<Hub>) -> Result<Self> {
        let inbox: Arc<Mutex<Inbox>> = Arc::default();
        let reader = BufReader::new(stream.try_clone().context("qmp")?);
        let (thread_inbox, thread_hub, name) = (Arc::clone(&inbox), Arc::clone(hub), node.to_owned());
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if let Ok(message) = serde_json::from_str::<Value>(&line) {
                    receive(&thread_inbox, &thread_hub, &name, message);
                }
            }
            lock(&thread_inbox).ended = true;
            thread_hub.wake(Cause::Lab);
        });
        let qmp =
            Self { writer: Mutex::new((stream, 0)), inbox, hub: Arc::clone(hub), node: node.to_owned() };
        hub.until("greeting of QEMU", ANSWER_LIMIT, || {
            let inbox = lock(&qmp.inbox);
            if inbox.greeted || inbox.ended { Ok(()) } else { Err("nothing yet".to_owned()) }
        })?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and gives what it returned.
    ///
    /// # Errors
    /// When QEMU refuses, is gone, or does not answer in time.
    pub fn execute(&self, command: &str, arguments: &Value) -> Result<Value> {
        let mut writer = lock(&self.writer);
        writer.1 += 1;
        let id = writer.1;
        self.hub.line(&self.node, "qmp", &format!("{command} {arguments}"));
        let message = json!({ "execute": command, "arguments": arguments, "id": id });
        writeln!(writer.0, "{message}").with_context(|| format!("{}: QEMU is gone", self.node))?;
        let answer = self.hub.until(&format!("answer to {command}"), ANSWER_LIMIT, || {
            let mut inbox = lock(&self.inbox);
            let at =
                inbox.answers.iter().position(|answer| answer.get("id").and_then(Value::as_u64) == Some(id));
            match at {
                Some(at) => Ok(Some(inbox.answers.remove(at))),
                None if inbox.ended => Ok(None),
                None => Err("nothing yet".to_owned()),
            }
        })?;
        let Some(mut answer) = answer else { bail!("{}: QEMU ended during {command}", self.node) };
        if let Some(error) = answer.get("error") {
            bail!("{}: {command}: {error}", self.node);
        }
        Ok(answer.get_mut("return").map(Value::take).unwrap_or_default())
    }

    /// How often an event came so far.
    #[must_use]
    pub fn events(&self, name: &str) -> usize {
        lock(&self.inbox).events.iter().filter(|event| *event == name).count()
    }
}

fn receive(inbox: &Mutex<Inbox>, hub: &Hub, node: &str, message: Value) {
    if let Some(event) = message.get("event").and_then(Value::as_str) {
        let mut inbox = lock(inbox);
        if inbox.events.len() < EVENTS_MAX {
            inbox.events.push(event.to_owned());
        }
        drop(inbox);
        hub.line(node, "qmp", &message.to_string());
        return;
    }
    let mut inbox = lock(inbox);
    if message.get("QMP").is_some() {
        inbox.greeted = true;
    } else {
        inbox.answers.push(message);
    }
    drop(inbox);
    hub.wake(Cause::Harness);
}
