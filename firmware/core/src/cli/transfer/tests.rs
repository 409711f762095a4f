use super::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;

/// A line that damages bytes: each has a chance of 1 in `rate` to be flipped, lost or doubled.
struct Noise {
    state: u64,
    rate: u64,
}

impl Noise {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 16
    }

    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in bytes {
            if self.rate == 0 || !self.next().is_multiple_of(self.rate) {
                out.push(*byte);
                continue;
            }
            match self.next() % 3 {
                0 => out.push(byte ^ 1 << (self.next() % 8)),
                1 => {}
                _ => out.extend([*byte, *byte]),
            }
        }
        out
    }
}

fn messages(lines: &mut Lines, bytes: &[u8]) -> Vec<Message> {
    bytes.iter().filter_map(|byte| lines.feed(*byte)).collect()
}

/// Both ends and what lies between; a question without an answer is asked again.
struct Bench {
    noise: Noise,
    depot: Depot,
    at_box: Lines,
    at_laptop: Lines,
    running: String,
    candidate: Option<String>,
    /// Lines that reached the box.
    heard: usize,
}

impl Bench {
    fn new(seed: u64, rate: u64) -> Self {
        Self {
            noise: Noise { state: seed | 1, rate },
            depot: Depot::default(),
            at_box: Lines::default(),
            at_laptop: Lines::default(),
            running: String::new(),
            candidate: None,
            heard: 0,
        }
    }

    /// One question through the noise, and the answers that come back through it.
    fn exchange(&mut self, question: &[u8]) -> Vec<Message> {
        let sent = self.noise.pass(question);
        let mut back = Vec::new();
        for message in messages(&mut self.at_box, &sent) {
            self.heard += 1;
            let (running, candidate) = (&self.running, &mut self.candidate);
            let take = |text: &str| {
                if text.contains("refuse") {
                    return Err("line 1, column 1: no".to_string());
                }
                *candidate = Some(text.to_string());
                Ok(())
            };
            if let Some(answer) = self.depot.answer(message, || running.clone(), take) {
                back.extend(answer.emit());
            }
        }
        let back = self.noise.pass(&back);
        messages(&mut self.at_laptop, &back)
    }

    fn push(&mut self, push: &mut Push, questions: usize) -> Option<Result<(), String>> {
        let mut action = push.ask();
        for _ in 0..questions {
            let bytes = match action {
                Action::Send(bytes) => bytes,
                Action::Wait => Vec::new(),
                Action::Done => return Some(Ok(())),
                Action::Failed(why) => return Some(Err(why)),
            };
            action = Action::Wait;
            for message in self.exchange(&bytes) {
                match push.take(message) {
                    Action::Wait => {}
                    other @ (Action::Send(_) | Action::Done | Action::Failed(_)) => action = other,
                }
            }
            if action == Action::Wait {
                action = push.ask();
            }
        }
        None
    }

    fn pull(&mut self) -> Result<String, String> {
        let mut pull = Pull::new();
        let mut action = pull.ask();
        for _ in 0..100_000 {
            let bytes = match action {
                Action::Send(bytes) => bytes,
                Action::Wait => Vec::new(),
                Action::Done => return pull.into_text(),
                Action::Failed(why) => return Err(why),
            };
            action = Action::Wait;
            for message in self.exchange(&bytes) {
                match pull.take(message) {
                    Action::Wait => {}
                    other @ (Action::Send(_) | Action::Done | Action::Failed(_)) => action = other,
                }
            }
            if action == Action::Wait {
                action = pull.ask();
            }
        }
        Err("endless".to_string())
    }
}

const ALL: usize = 1_000_000;

fn text(lines: usize) -> String {
    (0..lines).map(|i| alloc::format!("set real-server rs{i} address 192.168.1.{}\n", i % 250)).collect()
}

#[test]
fn a_line_looks_as_documented() {
    assert_eq!(Message::Have(240).emit(), b":A 240~b99fdb7f\r\n");
    let message = Message::Data { offset: 7, bytes: b"set x\n".to_vec() };
    assert_eq!(messages(&mut Lines::default(), &message.emit()), [message]);
}

#[test]
fn every_flipped_bit_makes_a_line_unsound() {
    let line = Message::Data { offset: 240, bytes: text(3).into_bytes() }.emit();
    for bit in 0..(line.len() - 2) * 8 {
        let mut bad = line.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(messages(&mut Lines::default(), &bad), [], "bit {bit}");
    }
}

#[test]
fn a_line_without_an_end_is_bounded() {
    let mut lines = Lines::default();
    assert_eq!(messages(&mut lines, &[b':'; 10]), []);
    assert_eq!(messages(&mut lines, &alloc::vec![b'A'; 100_000]), []);
    assert_eq!(messages(&mut lines, b"\r"), []);
    assert_eq!(messages(&mut lines, &Message::Hello.emit()), [Message::Hello]);
}

#[test]
fn a_clean_line_needs_each_question_once() {
    let mut bench = Bench::new(1, 0);
    let mut push = Push::new(&text(100)).unwrap();
    assert_eq!(bench.push(&mut push, ALL), Some(Ok(())));
    assert_eq!(bench.candidate, Some(text(100)));
    assert_eq!(bench.heard, 3 + text(100).len().div_ceil(BLOCK_BYTES));
}

#[test]
fn a_push_that_broke_off_goes_on_where_it_was() {
    let mut bench = Bench::new(1, 0);
    assert_eq!(bench.push(&mut Push::new(&text(100)).unwrap(), 12), None);
    let mut again = Push::new(&text(100)).unwrap();
    assert_eq!(bench.push(&mut again, 2), None);
    assert_eq!(again.progress().0, 10 * BLOCK_BYTES);
    assert_eq!(bench.push(&mut again, ALL), Some(Ok(())));
    assert_eq!(bench.candidate, Some(text(100)));
    // Another text starts from nothing.
    assert_eq!(bench.push(&mut Push::new(&text(3)).unwrap(), ALL), Some(Ok(())));
    assert_eq!(bench.candidate, Some(text(3)));
}

#[test]
fn a_refused_configuration_says_why_and_leaves_the_candidate() {
    let mut bench = Bench::new(1, 0);
    let result = bench.push(&mut Push::new("refuse").unwrap(), ALL);
    assert_eq!(result, Some(Err("refused: line 1, column 1: no".to_string())));
    assert_eq!(bench.candidate, None);
}

#[test]
fn a_digest_that_is_wrong_is_refused_even_when_every_line_was_sound() {
    let mut depot = Depot::default();
    let mut ask = |message| depot.answer(message, String::new, |_| panic!("it must not be taken"));
    let sha256 = [7; 32];
    ask(Message::Push { length: 3, sha256 });
    assert_eq!(ask(Message::Data { offset: 0, bytes: b"abc".to_vec() }), Some(Message::Have(3)));
    assert!(matches!(ask(Message::End(sha256)), Some(Message::Refused(_))));
}

#[test]
fn a_dead_line_is_given_up_in_words() {
    let mut push = Push::new("x").unwrap();
    let last = (0..100).map(|_| push.ask()).find(|action| matches!(action, Action::Failed(_)));
    assert!(matches!(last, Some(Action::Failed(why)) if why.contains("check cable")));
}

proptest! {
    #[test]
    fn through_any_noise_the_exact_configuration_arrives_or_an_error(
        seed: u64, rate in prop_oneof![20_u64..200, 200_u64..5000], lines in 0_usize..60,
    ) {
        let mut bench = Bench::new(seed, rate);
        let wanted = text(lines);
        let result = bench.push(&mut Push::new(&wanted).unwrap(), ALL);
        prop_assert!(result.is_some(), "it ends");
        if result == Some(Ok(())) {
            prop_assert_eq!(bench.candidate.as_ref(), Some(&wanted));
        }
        prop_assert!(bench.candidate.is_none_or(|text| text == wanted), "never another");
    }

    #[test]
    fn through_bearable_noise_it_does_arrive(seed: u64, lines in 0_usize..60) {
        let mut bench = Bench::new(seed, 2000);
        let wanted = text(lines);
        prop_assert_eq!(bench.push(&mut Push::new(&wanted).unwrap(), ALL), Some(Ok(())));
        bench.running = wanted.clone();
        prop_assert_eq!(bench.pull(), Ok(wanted));
    }

    #[test]
    fn a_pull_through_any_noise_is_exact_or_an_error(seed: u64, rate in 20_u64..2000, lines in 0_usize..60) {
        let mut bench = Bench::new(seed, rate);
        bench.running = text(lines);
        if let Ok(got) = bench.pull() {
            prop_assert_eq!(got, text(lines));
        }
    }

    #[test]
    fn garbage_is_no_line(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut depot = Depot::default();
        for message in messages(&mut Lines::default(), &bytes) {
            drop(depot.answer(message, String::new, |_| Ok(())));
        }
    }
}
