//! What becomes of the secrets of a text that is exported or loaded.

use super::super::seal::{Opener, Sealer};
use super::super::tree::{Found, Step, Tree};
use super::super::value::{SEALED, Value};
use super::{path_text, type_at};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Whether a tree that was read has sealed secrets.
pub(crate) fn any_sealed(tree: &Tree) -> bool {
    let mut sealed = false;
    visit(tree, &mut |_, value| sealed |= matches!(value, Value::Held(text) if text.starts_with(SEALED)));
    sealed
}

/// How many secrets there are.
pub(crate) fn count(tree: &Tree) -> usize {
    let mut count = 0_usize;
    visit(tree, &mut |_, _| count = count.saturating_add(1));
    count
}

fn visit(tree: &Tree, see: &mut dyn FnMut(&[Step], &Value)) {
    tree.clone().change_secrets(&mut |path, value| {
        see(path, value);
        Some(value.clone())
    });
}

/// The tree with sealed secrets in place of open ones; `None`: they cannot be sealed.
pub(crate) fn seal(tree: &Tree, sealer: &mut Sealer) -> Option<Tree> {
    let (mut sealed, mut failed) = (tree.clone(), false);
    sealed.change_secrets(&mut |path, value| {
        let Value::Secret(secret) = value else { return Some(value.clone()) };
        let text = sealer.seal(&path_text(path), secret.reveal());
        failed |= text.is_none();
        text.map(|text| Value::Held(text.into()))
    });
    (!failed).then_some(sealed)
}

/// What became of the secrets of a loaded text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Settled {
    /// Secrets that stayed as they were.
    pub(crate) kept: usize,
    /// Places whose secret was left out and is not on this box either.
    pub(crate) missing: Vec<String>,
}

/// Replaces what stands for secrets in a tree that was read: opens what is sealed, takes from `present` what was left
/// out. With `replaces`, the text stood for everything, and a secret that it does not even mention stays too, where its
/// list entry is still there.
pub(crate) fn settle(
    tree: &mut Tree,
    present: &Tree,
    replaces: bool,
    mut opener: Option<Opener>,
) -> Result<Settled, String> {
    let (mut settled, mut wrong) = (Settled::default(), None);
    tree.change_secrets(&mut |path, value| {
        let Value::Held(text) = value else { return Some(value.clone()) };
        if let (Some(opener), true) = (&mut opener, text.starts_with(SEALED)) {
            let place = path_text(path);
            let opened = opener.open(&place, text).map_err(|why| format!("{place}: {why}"));
            let value = opened.and_then(|text| {
                let kind = type_at(path).ok_or_else(|| format!("{place}: no secret belongs here"))?;
                kind.parse(&text).map_err(|why| format!("{place}: {why}"))
            });
            match value {
                Ok(value) => return Some(value),
                Err(why) => wrong = wrong.take().or(Some(why)),
            }
            return None;
        }
        let found = present.find(path);
        if let Some(Found::Leaf(value @ Value::Secret(_))) = found {
            settled.kept = settled.kept.saturating_add(1);
            return Some(value.clone());
        }
        settled.missing.push(path_text(path));
        None
    });
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    if replaces {
        settled.kept = settled.kept.saturating_add(keep_unmentioned(tree, present)?);
    }
    Ok(settled)
}

fn keep_unmentioned(tree: &mut Tree, present: &Tree) -> Result<usize, String> {
    let mut changes = Vec::new();
    visit(present, &mut |path, value| {
        let keys = path.iter().rposition(|step| matches!(step, Step::Key(_)));
        let entry = path.get(..keys.map_or(0, |at| at.saturating_add(1))).unwrap_or_default();
        if tree.find(path).is_none() && tree.find(entry).is_some() {
            let change = super::super::tree::Change { path: path.to_vec(), value: Some(value.clone()) };
            changes.push(change);
        }
    });
    let kept = changes.len();
    for change in changes {
        let place = path_text(&change.path);
        tree.apply(Vec::from([change])).map_err(|why| format!("{place}: {why}"))?;
    }
    Ok(kept)
}

/// A line that says what became of them, when there is something to say.
pub(crate) fn said(settled: &Settled) -> Vec<String> {
    let mut lines = Vec::new();
    if settled.kept > 0 {
        let plural = if settled.kept == 1 { "secret" } else { "secrets" };
        lines.push(format!("{} {plural} left out: this box keeps its own.", settled.kept));
    }
    lines.extend(
        settled
            .missing
            .iter()
            .map(|place| format!("{place}: left out, and this box has none. Set it before the commit.")),
    );
    lines
}

/// A comment for the top of an export.
pub(crate) fn heading(secrets: usize, sealed: bool) -> Option<String> {
    match (secrets, sealed) {
        (0, _) => None,
        (_, true) => Some("# Secrets are sealed: load asks for the passphrase.".to_string()),
        (_, false) => Some("# Secrets are left out: load keeps those that the box has.".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::{Form, read};
    use super::super::{braces, set_lines};
    use super::*;
    use crate::cli::testing::tree;

    const SECRETS: &str = "set check a login user u password hunter2\nset check b radius secret s3cret\n\
                           set system password-hash $argon2id$v=19$m=8192,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";

    #[test]
    fn a_sealed_export_of_either_form_loads_on_another_box_with_the_passphrase() {
        let whole = tree(SECRETS);
        let sealed = seal(&whole, &mut Sealer::new("correct horse", [3; 16]).unwrap()).unwrap();
        for text in [set_lines(&sealed), braces(&sealed, &[]).join("\n")] {
            assert!(!text.contains("hunter2") && text.contains("sealed:"), "{text}");
            assert!(text.lines().all(|line| line.len() < crate::cli::editor::LINE_BYTES));
            let mut got = read(&Tree::default(), &text, Form::of(&text)).unwrap();
            assert!(any_sealed(&got));
            let opener = Opener::new("correct horse".to_string());
            assert_eq!(settle(&mut got, &Tree::default(), true, Some(opener)), Ok(Settled::default()));
            assert_eq!(got, whole);
        }
        let mut got = read(&Tree::default(), &set_lines(&sealed), Form::Set).unwrap();
        let wrong = settle(&mut got, &Tree::default(), true, Some(Opener::new("battery".to_string())));
        assert!(wrong.unwrap_err().contains("passphrase does not open it"));
    }

    #[test]
    fn a_secret_that_is_left_out_in_any_way_stays_while_its_entry_stays() {
        let present = tree(SECRETS);
        for text in [
            set_lines(&present),
            braces(&present, &[]).join("\n"),
            "set check a login user u\nset check b".to_string(),
        ] {
            let mut got = read(&Tree::default(), &text, Form::of(&text)).unwrap();
            assert_eq!(settle(&mut got, &present, true, None).unwrap().kept, 3);
            assert_eq!(got, present, "{text}");
        }
        let mut got = read(&Tree::default(), "set check b", Form::Set).unwrap();
        assert_eq!(settle(&mut got, &present, true, None).unwrap().kept, 2);
        assert_eq!(set_lines(&got).matches("# set").count(), 2);
        // A text that only adds can delete one.
        let mut got = read(&present, "delete check b radius secret", Form::Set).unwrap();
        assert_eq!(settle(&mut got, &present, false, None), Ok(Settled::default()));
        assert_eq!(count(&got), 2);
    }

    #[test]
    fn a_secret_that_nobody_has_is_named() {
        let mut got = read(&Tree::default(), "set check a login password ********", Form::Set).unwrap();
        let settled = settle(&mut got, &Tree::default(), true, None).unwrap();
        assert_eq!(settled.missing, ["check a login password"]);
        assert_eq!(count(&got), 0);
    }
}
