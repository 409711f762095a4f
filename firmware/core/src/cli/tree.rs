//! A candidate: an ordered tree of values that each passed the table's check.
//!
//! Canonical by construction: branches without content are pruned (unless the table says that they mean something),
//! and a value equal to its default is not kept. Two trees that mean the same are equal.

use super::schema::{CONFIG, Item, Kind, item};
use super::value::Value;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Index of a word in its level of the table.
    Word(u8),
    /// Key of a list entry.
    Key(Value),
}

/// The items set on one level, in the table's order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Branch(Vec<(u8, Node)>);

/// What is set under one word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// Of a branch.
    Branch(Branch),
    /// Of a list.
    List(BTreeMap<Value, Branch>),
    /// Of a leaf.
    Leaf(Value),
    /// Of a leaf-list, in the order in which they were set.
    Values(Vec<Value>),
}

/// One assignment; without a value it makes the list entry or branch itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// From the root.
    pub path: Vec<Step>,
    /// The value of a leaf or leaf-list.
    pub value: Option<Value>,
}

/// The whole configuration as a tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    root: Branch,
}

/// The step of an exact word on a level of the table.
pub(crate) fn word_step(items: &'static [Item], word: &str) -> Option<(Step, &'static Item)> {
    let (i, found) = item(items, word)?;
    Some((Step::Word(u8::try_from(i).ok()?), found))
}

pub(crate) fn item_at(items: &'static [Item], index: u8) -> Option<&'static Item> {
    items.get(usize::from(index))
}

impl Branch {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is set under the word with this index.
    pub(crate) fn get(&self, index: u8) -> Option<&Node> {
        let at = self.0.binary_search_by_key(&index, |(i, _)| *i).ok()?;
        self.0.get(at).map(|(_, node)| node)
    }

    fn node_mut(&mut self, index: u8, fresh: Node) -> Option<&mut Node> {
        let at = match self.0.binary_search_by_key(&index, |(i, _)| *i) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (index, fresh));
                at
            }
        };
        self.0.get_mut(at).map(|(_, node)| node)
    }

    fn take(&mut self, index: u8) -> Option<Node> {
        let at = self.0.binary_search_by_key(&index, |(i, _)| *i).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Looks a path up.
    pub(crate) fn find(&self, path: &[Step]) -> Option<Found<'_>> {
        let Some((first, rest)) = path.split_first() else { return Some(Found::Branch(self)) };
        let Step::Word(index) = first else { return None };
        match (self.get(*index)?, rest.split_first()) {
            (Node::Branch(branch), _) => branch.find(rest),
            (Node::List(entries), None) => Some(Found::List(entries)),
            (Node::List(entries), Some((Step::Key(key), rest))) => entries.get(key)?.find(rest),
            (Node::Leaf(value), None) => Some(Found::Leaf(value)),
            (Node::Values(values), None) => Some(Found::Values(values)),
            (Node::List(_) | Node::Leaf(_) | Node::Values(_), Some(_)) => None,
        }
    }

    fn change_secrets(
        &mut self,
        items: &'static [Item],
        path: &mut Vec<Step>,
        change: &mut dyn FnMut(&[Step], &Value) -> Option<Value>,
    ) {
        self.0.retain_mut(|(index, node)| {
            let Some(item) = item_at(items, *index) else { return true };
            path.push(Step::Word(*index));
            let stays = match node {
                Node::Leaf(value @ (Value::Secret(_) | Value::Held(_))) => match change(path, value) {
                    Some(new) => {
                        *value = new;
                        true
                    }
                    None => false,
                },
                Node::Leaf(_) | Node::Values(_) => true,
                Node::Branch(branch) => {
                    branch.change_secrets(item.items(), path, change);
                    !branch.is_empty() || matches!(item.kind, Kind::Branch { presence: true, .. })
                }
                Node::List(entries) => {
                    for (key, entry) in entries {
                        path.push(Step::Key(key.clone()));
                        entry.change_secrets(item.items(), path, change);
                        path.pop();
                    }
                    true
                }
            };
            path.pop();
            stays
        });
    }

    pub(crate) fn put(
        &mut self,
        items: &'static [Item],
        path: &[Step],
        value: Option<Value>,
    ) -> Result<(), String> {
        let Some((Step::Word(index), rest)) = path.split_first() else { return Ok(()) };
        let Some(item) = item_at(items, *index) else { return Err("not in the table".to_owned()) };
        match &item.kind {
            Kind::Branch { items, presence } => {
                let Some(Node::Branch(child)) = self.node_mut(*index, Node::Branch(Self::default())) else {
                    return Err("not a branch".to_owned());
                };
                let result = child.put(items, rest, value);
                if child.is_empty() && !presence {
                    self.take(*index);
                }
                result
            }
            Kind::List { items, max, .. } => {
                let Some(Node::List(entries)) = self.node_mut(*index, Node::List(BTreeMap::new())) else {
                    return Err("not a list".to_owned());
                };
                let result = put_entry(entries, item, (items, *max), rest, value);
                if entries.is_empty() {
                    self.take(*index);
                }
                result
            }
            Kind::Leaf { value: kind, default } => {
                let Some(value) = value else { return Err(format!("{} needs a value", item.word)) };
                let default = default.and_then(|text| kind.parse(text).ok());
                if default.as_ref() == Some(&value) {
                    self.take(*index);
                } else if let Some(slot) = self.node_mut(*index, Node::Leaf(value.clone())) {
                    *slot = Node::Leaf(value);
                }
                Ok(())
            }
            Kind::Values { max, .. } => {
                let Some(value) = value else { return Err(format!("{} needs a value", item.word)) };
                let Some(Node::Values(values)) = self.node_mut(*index, Node::Values(Vec::new())) else {
                    return Err("not a leaf-list".to_owned());
                };
                if values.contains(&value) {
                    return Ok(());
                }
                if values.len() >= *max {
                    return Err(format!("at most {max} {} values fit; delete one first", item.word));
                }
                values.push(value);
                Ok(())
            }
        }
    }

    /// Removes a path, or one value of it; says whether something was there.
    pub(crate) fn remove(&mut self, items: &'static [Item], path: &[Step], value: Option<&Value>) -> bool {
        let Some((Step::Word(index), rest)) = path.split_first() else { return false };
        let Some(item) = item_at(items, *index) else { return false };
        if rest.is_empty() {
            return self.remove_here(*index, value);
        }
        let Some(at) = self.0.iter().position(|(i, _)| i == index) else { return false };
        let Some((_, node)) = self.0.get_mut(at) else { return false };
        let (done, empty) = match node {
            Node::Branch(child) => {
                let done = child.remove(item.items(), rest, value);
                (done, child.is_empty() && !matches!(item.kind, Kind::Branch { presence: true, .. }))
            }
            Node::List(entries) => {
                let done = remove_entry(entries, item.items(), rest, value);
                (done, entries.is_empty())
            }
            Node::Leaf(_) | Node::Values(_) => (false, false),
        };
        if empty {
            self.take(*index);
        }
        done
    }

    fn remove_here(&mut self, index: u8, value: Option<&Value>) -> bool {
        let Some(value) = value else { return self.take(index).is_some() };
        let Some(at) = self.0.iter().position(|(i, _)| *i == index) else { return false };
        let Some((_, node)) = self.0.get_mut(at) else { return false };
        let (done, empty) = match node {
            Node::Leaf(present) => (present == value, present == value),
            Node::Values(values) => {
                let before = values.len();
                values.retain(|v| v != value);
                (values.len() != before, values.is_empty())
            }
            Node::Branch(_) | Node::List(_) => (false, false),
        };
        if empty {
            self.take(index);
        }
        done
    }
}

fn put_entry(
    entries: &mut BTreeMap<Value, Branch>,
    item: &Item,
    (items, max): (&'static [Item], usize),
    path: &[Step],
    value: Option<Value>,
) -> Result<(), String> {
    let Some((Step::Key(key), rest)) = path.split_first() else {
        return Err(format!("{} needs a name", item.word));
    };
    if !entries.contains_key(key) && entries.len() >= max {
        return Err(format!("at most {max} {} entries fit; delete one first", item.word));
    }
    entries.entry(key.clone()).or_default().put(items, rest, value)
}

fn remove_entry(
    entries: &mut BTreeMap<Value, Branch>,
    items: &'static [Item],
    path: &[Step],
    value: Option<&Value>,
) -> bool {
    match path.split_first() {
        Some((Step::Key(key), [])) => entries.remove(key).is_some(),
        Some((Step::Key(key), rest)) => {
            entries.get_mut(key).is_some_and(|branch| branch.remove(items, rest, value))
        }
        Some((Step::Word(_), _)) | None => false,
    }
}

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    Branch(&'a Branch),
    List(&'a BTreeMap<Value, Branch>),
    Leaf(&'a Value),
    Values(&'a [Value]),
}

impl Tree {
    pub(crate) fn from_root(root: Branch) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Branch {
        &self.root
    }

    /// Applies the changes of one line: all of them or none.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> Result<(), String> {
        // Changes of one line share their first two steps, which bounds what has to be kept for the way back.
        let before = match changes.as_slice() {
            [first, _, ..] => Some((first.path.clone(), self.snapshot(&first.path))),
            [] | [_] => None,
        };
        for change in changes {
            if let Err(why) = self.root.put(CONFIG, &change.path, change.value) {
                if let Some((path, kept)) = before {
                    self.restore(&path, kept);
                }
                return Err(why);
            }
        }
        Ok(())
    }

    fn snapshot(&self, path: &[Step]) -> Option<Branch> {
        let (Some(Step::Word(index)), second) = (path.first(), path.get(1)) else { return None };
        match (self.root.get(*index)?, second) {
            (Node::List(entries), Some(Step::Key(key))) => entries.get(key).cloned(),
            (Node::Branch(branch), _) => Some(branch.clone()),
            (Node::List(_) | Node::Leaf(_) | Node::Values(_), _) => None,
        }
    }

    fn restore(&mut self, path: &[Step], kept: Option<Branch>) {
        let (Some(Step::Word(index)), second) = (path.first(), path.get(1)) else { return };
        let Some(item) = item_at(CONFIG, *index) else { return };
        match (&item.kind, second, kept) {
            (Kind::List { .. }, Some(Step::Key(key)), Some(branch)) => {
                if let Some(Node::List(entries)) = self.root.node_mut(*index, Node::List(BTreeMap::new())) {
                    entries.insert(key.clone(), branch);
                }
            }
            (Kind::List { .. }, Some(Step::Key(_)), None) => {
                self.root.remove(CONFIG, path.get(..2).unwrap_or(path), None);
            }
            (Kind::Branch { .. }, _, Some(branch)) => {
                if let Some(slot) = self.root.node_mut(*index, Node::Branch(Branch::default())) {
                    *slot = Node::Branch(branch);
                }
            }
            (_, _, _) => {
                self.root.take(*index);
            }
        }
    }

    /// Removes a path, or one value of a leaf-list; says whether something was there.
    pub fn remove(&mut self, path: &[Step], value: Option<&Value>) -> bool {
        self.root.remove(CONFIG, path, value)
    }

    /// Shows every secret, and what stands for one, with its path. What `change` gives takes its place; nothing removes it.
    pub(crate) fn change_secrets(&mut self, change: &mut dyn FnMut(&[Step], &Value) -> Option<Value>) {
        self.root.change_secrets(CONFIG, &mut Vec::new(), change);
    }

    /// Keys of the list that a path leads to.
    pub(crate) fn keys(&self, path: &[Step]) -> Vec<String> {
        match self.root.find(path) {
            Some(Found::List(entries)) => entries.keys().map(ToString::to_string).collect(),
            Some(Found::Branch(_) | Found::Leaf(_) | Found::Values(_)) | None => Vec::new(),
        }
    }

    /// Names in a top-level list, such as `pool`.
    pub(crate) fn names(&self, list: &str) -> Vec<String> {
        word_step(CONFIG, list).map(|(step, _)| self.keys(&[step])).unwrap_or_default()
    }

    /// Looks a path up.
    pub(crate) fn find(&self, path: &[Step]) -> Option<Found<'_>> {
        self.root.find(path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::text::set_lines;
    use super::*;
    use crate::cli::path::{Mode, walk};
    use crate::cli::words::tokens;

    fn delete(tree: &mut Tree, line: &str) -> bool {
        let walked = walk(&[], Mode::Delete, &tokens(line, false), line.len()).unwrap();
        tree.remove(&walked.path, walked.value.as_ref())
    }

    #[test]
    fn a_default_is_not_kept_and_setting_it_undoes_another_value() {
        let mut t = tree("set pool web fall 5");
        assert_eq!(set_lines(&t), "set pool web fall 5\n");
        let walked = walk(&[], Mode::Set, &tokens("pool web fall 3", false), 15).unwrap();
        t.apply(walked.changes).unwrap();
        assert_eq!(set_lines(&t), "set pool web\n");
    }

    #[test]
    fn delete_takes_entries_leaves_and_single_values_and_prunes_what_is_left_empty() {
        let mut t = tree(
            "set service web address a port 80 port 443\nset pool web http path /x\nset forwarding ipv4 on\n\
             set pool web server rs1 weight 5",
        );
        assert!(delete(&mut t, "service web port 80"));
        assert!(!delete(&mut t, "service web port 80"));
        assert!(delete(&mut t, "pool web server rs1"));
        assert!(delete(&mut t, "pool web http path"));
        assert!(delete(&mut t, "forwarding ipv4"));
        assert_eq!(set_lines(&t), "set pool web http\nset service web address a port 443\n");
        assert!(delete(&mut t, "service"));
        assert!(delete(&mut t, "pool web"));
        assert_eq!(t, Tree::default());
    }

    #[test]
    fn a_line_that_does_not_fit_changes_nothing() {
        let mut t = tree("set service web port 1");
        let ports: String = (2..=17).map(|p| format!(" port {p}")).collect();
        let line = format!("service web address a{ports}");
        let before = t.clone();
        let walked = walk(&[], Mode::Set, &tokens(&line, false), line.len()).unwrap();
        assert_eq!(t.apply(walked.changes), Err("at most 16 port values fit; delete one first".to_string()));
        assert_eq!(t, before);
    }
}
