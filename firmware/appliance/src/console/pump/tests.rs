use super::*;
use crate::ipc::Server;
use director_core::director::protocol::{Reply, Request};
use director_core::model::Config;
use director_core::store::Generation;
use embedded_io_adapters::tokio_1::FromTokio;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// An operator at the other end of the line. The prompt carries the host name of whatever runs the test.
struct Operator {
    line: DuplexStream,
    seen: String,
}

impl Operator {
    async fn types(&mut self, text: &str) {
        self.line.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `text` was printed; gives what was printed up to its end.
    async fn sees(&mut self, text: &str) -> String {
        let mut buffer = [0; 1024];
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let read = self.line.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the console hung up after {:?}", self.seen);
            self.seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }
}

/// Runs a console on a socket, with an operator and, when `serve`, a director that answers `Config` only.
fn lab(name: &str, serve: bool, script: impl AsyncFnOnce(Operator)) {
    let path: PathBuf = std::env::temp_dir().join(format!("director-pump-{}-{name}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = serve.then(|| Server::bind(&path).unwrap());
        let (near, far) = tokio::io::duplex(64);
        let (read, write) = tokio::io::split(near);
        let log = Log::open("test");
        let link = Link::open(&path).await;
        let pump = Pump::new(FromTokio::new(read), FromTokio::new(write), link, &log);
        let director = async {
            let Some(server) = &mut server else { return std::future::pending().await };
            while let Some((session, request)) = server.next().await {
                if *request == Request::Config {
                    let reply = Reply::Config { generation: Generation(0), config: Config::default() };
                    server.reply(session, reply);
                }
            }
        };
        tokio::select! {
            () = script(Operator { line: far, seen: String::new() }) => {}
            error = pump.run() => panic!("{error}"),
            () = director => panic!("the director's end closed"),
        }
    });
    if serve {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_console_greets_and_asks_the_director() {
    lab("greet", true, async |mut operator| {
        let greeting = operator.sees("> ").await;
        assert!(greeting.contains("\r\nDirector 0."), "{greeting:?}");
        operator.types("configure\r").await;
        operator.sees("# ").await;
    });
}

#[test]
fn a_console_without_a_director_says_so_and_keeps_serving() {
    lab("alone", false, async |mut operator| {
        operator.sees("The director stopped").await;
        operator.sees("> ").await;
        operator.types("?").await;
        operator.sees("poweroff").await;
    });
}

#[test]
fn who_leaves_makes_room_for_the_next_one() {
    lab("leave", true, async |mut operator| {
        operator.sees("> ").await;
        operator.types("exit\r").await;
        operator.sees("Director 0.").await;
        operator.sees("> ").await;
    });
}
