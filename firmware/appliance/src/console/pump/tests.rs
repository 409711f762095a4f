use super::*;
use crate::director::boot::save_access;
use crate::ipc::Server;
use director_core::director::protocol::{Reply, Request};
use director_core::login::{Access, Password};
use director_core::model::{Config, Millis};
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

fn open() -> Option<Access> {
    Some(Access { password: None, idle: Millis::from_secs(900) })
}

/// Runs a console on a socket, with an operator and, when `serve`, a director that answers `Config` only.
fn lab(name: &str, serve: bool, script: impl AsyncFnOnce(Operator)) {
    lab_with(name, serve, open(), async |operator, _| script(operator).await);
}

/// The same, with what is known of who may type; the script is told the folder of it.
fn lab_with(name: &str, serve: bool, access: Option<Access>, script: impl AsyncFnOnce(Operator, &Path)) {
    let run: PathBuf = std::env::temp_dir().join(format!("director-pump-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&run).unwrap();
    let path = run.join("socket");
    if let Some(access) = access {
        save_access(&Log::open("test"), &run, &access);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = serve.then(|| Server::bind(&path).unwrap());
        let (near, far) = tokio::io::duplex(64);
        let (read, write) = tokio::io::split(near);
        let log = Log::open("test");
        let link = Link::open(&path).await;
        let pump = Pump::new(FromTokio::new(read), FromTokio::new(write), link, &log, &run);
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
            () = script(Operator { line: far, seen: String::new() }, &run) => {}
            error = pump.run() => panic!("{error}"),
            () = director => panic!("the director's end closed"),
        }
    });
    std::fs::remove_dir_all(run).unwrap();
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

#[test]
fn a_console_with_a_password_asks_for_it_first_and_again_after_exit() {
    let hash = password::hash(&Password::from("correct horse")).unwrap();
    let access = Access { password: Some(hash.phc().parse().unwrap()), ..open().unwrap() };
    lab_with("login", true, Some(access), async |mut operator, run| {
        let greeting = operator.sees("Password: ").await;
        assert!(!greeting.contains('>'), "{greeting:?}");
        operator.types("wrong horse\r").await;
        let said = operator.sees("Password: ").await;
        assert!(said.contains("Wrong password") && !said.contains("horse"), "{said:?}");
        assert_eq!(std::fs::read_to_string(run.join(WRONG_PASSWORDS)).unwrap(), "1");
        operator.types("correct horse\r").await;
        let said = operator.sees("> ").await;
        assert!(said.contains("1 wrong password since the last login."), "{said:?}");
        assert_eq!(std::fs::read_to_string(run.join(WRONG_PASSWORDS)).unwrap(), "0");
        operator.types("exit\r").await;
        operator.sees("Password: ").await;
    });
}

#[test]
fn the_file_with_the_hash_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    lab_with("private", false, open(), async |_, run| {
        let mode = std::fs::metadata(run.join("director.access")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

#[test]
fn before_the_director_said_who_may_type_one_can_only_look_for_the_reason() {
    lab_with("limited", false, None, async |mut operator, _| {
        operator.sees("The director has not read the configuration yet").await;
        operator.sees("> ").await;
        operator.types("configure\r").await;
        operator.sees("is not known here").await;
        operator.types("?").await;
        let can = operator.sees("> ").await;
        assert!(can.contains("reboot") && !can.contains("factory-reset"), "{can:?}");
    });
}
