//! `server NAME [in POOL] drain | disable | enable | weight N [for TIME] [persistent]`.

use super::{Job, Output, Question, ServerAction, Session};
use crate::cli::complete::SERVER_ACTIONS;
use crate::cli::show::words::plural;
use crate::director::protocol::Request;
use crate::model::limits::WEIGHT_MAX;
use crate::model::{Millis, Name};
use crate::overrides::Forced;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const USAGE: &str =
    "write: server NAME [in POOL] drain, disable, enable or weight N, then perhaps: for TIME, persistent";

impl Session {
    pub(super) fn server(&mut self, words: &[String], out: &mut Vec<Output>) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match parse(&words) {
            Ok(ask) => self.ask_server(ask, out),
            Err(why) => self.say(out, &why),
        }
    }

    pub(super) fn ask_server(&mut self, ask: ServerAction, out: &mut Vec<Output>) {
        self.ask(Job::Server(Box::new(ask.clone())), Request::Server(ask), out);
    }

    pub(super) fn emptied(&mut self, ask: ServerAction, services: &[Name], ends: u32, out: &mut Vec<Output>) {
        if ends > 0 {
            let what = plural(usize::try_from(ends).unwrap_or(usize::MAX), "established connection");
            self.say(out, &format!("This ends {what} at once; \"drain\" lets them go on."));
        }
        let names: Vec<String> = services.iter().take(8).map(ToString::to_string).collect();
        let more = if services.len() > names.len() { " and more" } else { "" };
        if !names.is_empty() {
            self.say(out, &format!("No usable server would be left for: {}{more}.", names.join(", ")));
        }
        self.question = Some(Question::Server(Box::new(ask)));
    }
}

fn parse(words: &[&str]) -> Result<ServerAction, String> {
    let name = |word: &str| word.parse::<Name>().map_err(|why| format!("\"{word}\": {why}"));
    let (server, rest) = words.split_first().ok_or(USAGE)?;
    if let ([action, name], true) = (words, SERVER_ACTIONS.contains(server))
        && !SERVER_ACTIONS.contains(name)
    {
        return Err(format!("The name comes first: server {name} {action}."));
    }
    let (pool, rest) = match rest {
        ["in", pool, rest @ ..] => (Some(name(pool)?), rest),
        rest => (None, rest),
    };
    let (forced, rest) = match rest {
        ["drain", rest @ ..] => (Forced::Drain, rest),
        ["disable", rest @ ..] => (Forced::Disable, rest),
        ["enable", rest @ ..] => (Forced::Normal, rest),
        ["weight", weight, rest @ ..] => {
            let weight = weight.parse::<u32>().ok().filter(|w| *w <= WEIGHT_MAX);
            (Forced::Weight(weight.ok_or_else(|| format!("weight: must be 0 to {WEIGHT_MAX}"))?), rest)
        }
        _ => return Err(USAGE.to_string()),
    };
    let (rest, persistent) = match rest {
        [rest @ .., "persistent"] => (rest, true),
        rest => (rest, false),
    };
    let lasts = match rest {
        [] => None,
        ["for", span] if forced != Forced::Normal => {
            Some(span.parse::<Millis>().map_err(|why| format!("time \"{span}\": {why}"))?)
        }
        _ => return Err(USAGE.to_string()),
    };
    Ok(ServerAction { server: name(server)?, pool, forced, lasts, persistent, agreed: false })
}
