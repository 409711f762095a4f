//! The password of a console.

use crate::director::{LVS1, SOON};
use anyhow::Result;
use director_qemu::lab::Lab;
use director_qemu::serial::Mark;

/// What the suites set.
pub const PASSWORD: &str = "correct horse";
/// How it is asked for.
pub const ASKS: &str = "Password: ";

/// Types a line, waits for words of the answer, and gives where it began.
///
/// # Errors
/// When they do not come.
pub fn expect(lab: &Lab, typed: &str, words: &str) -> Result<Mark> {
    let console = lab.director(LVS1)?.console();
    let mark = console.mark();
    console.send(format!("{typed}\r").as_bytes())?;
    console.wait_for(words, mark, lab.scaled(SOON * 2))?;
    Ok(mark)
}

/// Sets [`PASSWORD`] and commits it.
///
/// # Errors
/// When the director does not take it.
pub fn set_password(lab: &Lab) -> Result<()> {
    lab.tell(LVS1, "configure")?;
    expect(lab, "set system password", "New password: ")?;
    expect(lab, PASSWORD, "The same again: ")?;
    let mark = expect(lab, PASSWORD, "The password is in the candidate")?;
    lab.director(LVS1)?.console().wait_prompt(mark, lab.scaled(SOON))?;
    lab.tell(LVS1, "commit")?;
    lab.ask(LVS1, "exit").map(|_| ())
}

/// Answers the question when there is one.
///
/// # Errors
/// When no prompt comes.
pub fn logged_in(lab: &Lab) -> Result<()> {
    let console = lab.director(LVS1)?.console();
    if !console.present_line().ends_with(ASKS) {
        return Ok(());
    }
    let mark = console.mark();
    console.send(format!("{PASSWORD}\r").as_bytes())?;
    console.wait_prompt(mark, lab.scaled(SOON * 2)).map(|_| ())
}
