//! Which parts of an answer are code: they are shown as written, so that links and markup in them do nothing.
//!
//! Where the rules of CommonMark leave a doubt here, a part does not count as code: an answer must not be able to hide an image by half a fence.

use std::ops::Range;

/// Longest line that can be a fence, bytes.
const LINE_BYTES_MAX: usize = 400;
/// Code blocks that are remembered; older ones lie before every window.
const BLOCKS_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq)]
struct Fence {
    sign: char,
    length: usize,
    start: usize,
}

/// The fenced blocks of an answer that is read from its beginning, in overlapping windows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CodeBlocks {
    /// What has been read, bytes.
    read: usize,
    /// The line that is not yet whole.
    line: String,
    line_bytes: usize,
    open: Option<Fence>,
    blocks: Vec<Range<usize>>,
    /// Markup began since the last blank line: what looks like a fence is a part of it.
    is_markup: bool,
    /// Markup began that blank lines do not end.
    is_raw: bool,
}

impl CodeBlocks {
    /// Reads on: `text` stands at byte `offset` of the answer and begins in what was read, or at its end.
    pub(crate) fn read(&mut self, text: &str, offset: usize) {
        let new = text.get(self.read.saturating_sub(offset)..).unwrap_or_default();
        for part in new.split_inclusive('\n') {
            if self.line.len() + part.len() <= LINE_BYTES_MAX {
                self.line.push_str(part);
            }
            self.line_bytes += part.len();
            self.read += part.len();
            if part.ends_with('\n') {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        const RAW: [&str; 7] = ["<pre", "<script", "<style", "<textarea", "<!", "<?", "<svg"];
        let line = std::mem::take(&mut self.line);
        let start = self.read - self.line_bytes;
        let is_whole = line.len() == std::mem::take(&mut self.line_bytes);
        let bare = line.trim_start_matches(' ');
        let (indent, bare) = (line.len() - bare.len(), bare.trim_end());
        let sign = bare.chars().next().filter(|sign| matches!(sign, '`' | '~'));
        let length = sign.map_or(0, |sign| bare.chars().take_while(|next| *next == sign).count());
        let rest = bare.get(length..).unwrap_or_default();
        let is_fence = is_whole && indent <= 3 && length >= 3;
        if let Some(open) = &self.open {
            if is_fence && Some(open.sign) == sign && length >= open.length && rest.is_empty() {
                self.blocks.push(open.start..start);
                self.open = None;
                let forgotten = self.blocks.len().saturating_sub(BLOCKS_MAX);
                self.blocks.drain(..forgotten);
            }
            return;
        }
        let lower = bare.to_ascii_lowercase();
        self.is_raw |= RAW.iter().any(|tag| lower.contains(tag));
        self.is_markup = !bare.is_empty() && (self.is_markup || bare.starts_with('<') || !is_whole);
        let is_in_markup = self.is_raw || self.is_markup;
        // Backticks that follow on the same line make inline code of it.
        let is_inline = sign == Some('`') && rest.contains('`');
        if let Some(sign) = sign.filter(|_| is_fence && !is_in_markup && !is_inline) {
            self.open = Some(Fence { sign, length, start: self.read });
        }
    }

    /// Whether a part of the answer lies in a fenced block.
    pub(crate) fn contains(&self, range: &Range<usize>) -> bool {
        self.open.as_ref().is_some_and(|fence| range.start >= fence.start)
            || self.blocks.iter().any(|block| block.start <= range.start && range.end <= block.end)
    }
}

/// Whether a part of a window lies between single backticks. `is_start` says that the window begins where the answer does.
pub(crate) fn is_inline_code(window: &str, range: &Range<usize>, is_start: bool) -> bool {
    let before = window.get(..range.start).unwrap_or_default();
    let paragraph = match before.rfind("\n\n") {
        Some(blank) => before.get(blank..).unwrap_or_default(),
        None if is_start => before,
        None => return false,
    };
    let ticks = paragraph.matches('`').count();
    if ticks.is_multiple_of(2) || paragraph.contains("``") || paragraph.contains('\\') || paragraph.contains('<') {
        return false;
    }
    let after = window.get(range.start..).unwrap_or_default();
    let after = after.get(..after.find('\n').unwrap_or(after.len())).unwrap_or_default();
    !after.contains("``") && after.find('`').is_some_and(|tick| range.start + tick >= range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the mark `@` lies in code when the text is read in pieces of a size.
    fn is_code(text: &str, step: usize) -> bool {
        let mut blocks = CodeBlocks::default();
        let mut at = 0;
        while at < text.len() {
            let end = (at + step).min(text.len());
            let from = at.saturating_sub(5);
            blocks.read(&text[from..end], from);
            at = end;
        }
        let mark = text.find('@').unwrap();
        blocks.contains(&(mark..mark + 1)) || is_inline_code(text, &(mark..mark + 1), true)
    }

    #[test]
    fn only_what_is_surely_code_counts() {
        for step in [1, 3, 7, 1_000] {
            for text in ["```html\n@\n```\nend", "a\n\n~~~~\n```\n@\n~~~~\n", "```\n@", "say `@` here", "a\n```\nx\n```\nb\n```\n@\n```"] {
                assert!(is_code(text, step), "{text}");
            }
            for text in [
                "@",
                "```\nx\n```\n@",
                "    ```\n@",
                "<div>\n```\n@\n```",
                "<pre>\n\n```\n@\n```",
                "a ``` b\n@",
                "``` a`b\n@",
                "`a` @ `b`",
                "\\`@`",
                "`x\n\n`@",
                "```\nx\n~~~\n```\n@",
                "`` @ `",
                "- ```\n@",
            ] {
                assert!(!is_code(text, step), "{text}");
            }
        }
    }
}
