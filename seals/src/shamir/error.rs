//! Errors of shares. No text contains any part of a share's secret.

use std::fmt;

use super::set::ShareProgress;
use super::text::{GROUP, GROUPS};
use super::{SHARES_MAXIMUM, THRESHOLD_MINIMUM};

/// An impossible threshold or number of shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "{threshold} of {count} shares cannot be made to open a store; give at least {THRESHOLD_MINIMUM} that \
         open, not more than there are, and at most {SHARES_MAXIMUM} in all"
)]
pub struct SplitError {
    /// The number of shares to open with.
    pub threshold: u8,
    /// The number of shares to create.
    pub count: u8,
}

/// Why a share was not accepted. Earlier shares are kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The text is not that of a share.
    Typing {
        /// Number of the share, if its first group is correct.
        share: Option<u8>,
        /// The fault.
        fault: TypingFault,
    },
    /// Every group is valid, but the whole is not: several were mistyped in a way that hides it.
    Checksum {
        /// Number of the share, unless that was mistyped.
        share: u8,
    },
    /// The share has a format that this build does not support.
    UnknownFormat {
        /// The format byte.
        format: u8,
    },
    /// The share is of another set: of another store, or of a replaced seal.
    OtherSet {
        /// Number of the share.
        share: u8,
        /// Its set.
        set: String,
        /// The set that opens this store.
        expected: String,
    },
    /// The share names the set, but does not belong to it.
    NotInTheSet {
        /// Number of the share.
        share: u8,
        /// The set.
        set: String,
    },
    /// The share was already given.
    Repeated {
        /// Number of the share.
        share: u8,
        /// How many were given and are needed.
        progress: ShareProgress,
    },
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typing { share: Some(share), fault } => write!(f, "share {share} is typed wrong: {fault}"),
            Self::Typing { share: None, fault } => write!(f, "this share is typed wrong: {fault}"),
            Self::Checksum { share } => write!(
                f,
                "share {share} is typed wrong in several groups; compare all of it with what was printed"
            ),
            Self::UnknownFormat { format } => write!(
                f,
                "the share is in format {format}, which this build does not know; use a newer petsem"
            ),
            Self::OtherSet { share, set, expected } => write!(
                f,
                "share {share} is of set {set}, this store is opened by set {expected}; look for the \
                 one that says {expected}"
            ),
            Self::NotInTheSet { share, set } => write!(
                f,
                "share {share} names set {set}, but was not made with it; look for the one that was \
                 printed, and ask where this one came from"
            ),
            Self::Repeated { share, progress } => {
                write!(f, "share {share} was given already; give another one, {progress}")
            }
        }
    }
}

/// Why a text is not a share. Groups count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypingFault {
    /// More than 512 bytes.
    TooLong,
    /// A character that is not in a share.
    Symbol {
        /// Its group.
        group: usize,
    },
    /// A group is too short.
    GroupLength {
        /// The group.
        group: usize,
        /// Symbols that it has.
        symbols: usize,
    },
    /// There are fewer or more symbols than in a share.
    Length {
        /// The number of symbols.
        symbols: usize,
    },
    /// Groups with a wrong check symbol.
    Checks {
        /// The groups.
        groups: Vec<usize>,
    },
}

impl fmt::Display for TypingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("it is far too long; give one share at a time, and nothing else"),
            Self::Symbol { group } => write!(
                f,
                "group {group} has a character that no share has; digits and letters but U are used, \
                 in groups of {GROUP}"
            ),
            Self::GroupLength { group, symbols } => write!(
                f,
                "group {group} has {symbols} of {GROUP} characters, or the one before has too many; \
                 compare both with what was printed"
            ),
            Self::Length { symbols } => write!(
                f,
                "it has {symbols} characters, a share has {}, {GROUPS} groups of {GROUP}; look for \
                 what is missing or too much",
                GROUPS * GROUP
            ),
            Self::Checks { groups } => {
                f.write_str(if groups.len() == 1 { "group " } else { "groups " })?;
                for (place, group) in groups.iter().enumerate() {
                    let joint = match place {
                        0 => "",
                        _ if place + 1 == groups.len() => " and ",
                        _ => ", ",
                    };
                    write!(f, "{joint}{group}")?;
                }
                write!(f, " of {GROUPS}; compare with what was printed")
            }
        }
    }
}

/// There are not enough shares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{progress}; give {} more of set {set}", .progress.missing())]
pub struct TooFewShares {
    /// How many were given and are needed.
    pub progress: ShareProgress,
    /// Their set.
    pub set: String,
}
