//! The fenced blocks of a Markdown page, for the tests that run or compare them.

/// A fenced block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'p> {
    /// What follows the opening fence, such as `sh`.
    pub language: &'p str,
    /// Its lines.
    pub text: &'p str,
}

impl<'p> Block<'p> {
    /// Its first line.
    pub fn first_line(&self) -> &'p str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// All blocks of a page, in order.
///
/// # Panics
/// If the last one is not closed.
pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut opened = None;
    let mut next = 0;
    for line in page.split_inclusive('\n') {
        let start = next;
        next += line.len();
        let text = line.trim();
        let Some(language) = text.strip_prefix("```").or_else(|| text.strip_prefix("~~~")) else { continue };
        opened = match opened {
            None => Some((language, next)),
            Some((language, first)) => {
                let text = page.get(first..start).expect("lines begin at characters");
                blocks.push(Block { language, text });
                None
            }
        };
    }
    assert_eq!(opened, None, "a block is not closed");
    blocks
}

/// The blocks of a page in this language.
///
/// # Panics
/// If the last block of the page is not closed.
pub fn blocks_in<'p>(page: &'p str, language: &str) -> Vec<Block<'p>> {
    blocks(page).into_iter().filter(|block| block.language == language).collect()
}
