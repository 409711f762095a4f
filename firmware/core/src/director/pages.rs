//! When the pages of the box itself are shown: before a plan leads clients to them, until one has led them away.

use super::Director;
use super::event::Effect;
use crate::plan::fallback::Pages;
use alloc::vec::Vec;

impl Director {
    /// A plan is about to be applied: what it needs is shown, and what was shown stays.
    pub(super) fn show_pages_before(&mut self, wanted: &Pages, out: &mut Vec<Effect>) {
        let mut both = self.pages.clone();
        both.extend(wanted.iter().map(|(place, text)| (*place, text.clone())));
        self.show_pages(both, out);
    }

    /// Shows these. Said again with every plan while there are any, so that one that failed is tried again.
    pub(super) fn show_pages(&mut self, pages: Pages, out: &mut Vec<Effect>) {
        if !pages.is_empty() || !self.pages.is_empty() {
            out.push(Effect::Pages(pages.clone()));
        }
        self.pages = pages;
    }
}
