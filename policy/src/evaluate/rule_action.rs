use serde::{Deserialize, Serialize};

/// An action that a rule can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RuleAction {
    /// Boot a Machine.
    Boot,
    /// Read values.
    ReadValue,
}
