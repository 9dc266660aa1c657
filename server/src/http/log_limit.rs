//! How many lines of the log refusals may cause: strangers can make any number of requests that are refused.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use petsem_api::ErrorCode;

/// Lines of one code in a second. What is left out is counted in the next line.
const LINES: u32 = 10;

/// The lines of refusals.
#[derive(Default)]
pub(crate) struct LogLimit(Mutex<HashMap<ErrorCode, Lines>>);

/// The lines of one code.
#[derive(Default)]
struct Lines {
    second: i64,
    written: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether a refusal in this second has a line, and how many before it had none.
    pub(super) fn line(&self, code: ErrorCode, second: i64) -> Option<u64> {
        // Each names a row that is damaged, which no stranger gets to.
        if code == ErrorCode::Integrity {
            return Some(0);
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = all.entry(code).or_default();
        if lines.second != second {
            (lines.second, lines.written) = (second, 0);
        }
        if lines.written == LINES {
            lines.left_out += 1;
            return None;
        }
        lines.written += 1;
        Some(std::mem::take(&mut lines.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_one_code_have_ten_lines_a_second_and_the_next_counts_the_others() {
        let limit = LogLimit::default();
        let written: Vec<_> = (0..1000).filter_map(|_| limit.line(ErrorCode::PolicyDenied, 7)).collect();
        assert_eq!(written, [0; 10]);
        assert_eq!(limit.line(ErrorCode::IssuerUnavailable, 7), Some(0));
        let of_rows: Vec<_> = (0..1000).filter_map(|_| limit.line(ErrorCode::Integrity, 7)).collect();
        assert_eq!(of_rows, [0; 1000]);
        let next = [8, 8, 9].map(|second| limit.line(ErrorCode::PolicyDenied, second));
        assert_eq!(next, [Some(990), Some(0), Some(0)]);
    }
}
