//! Rotation of keys: what is under way, and how far it is.

use serde::{Deserialize, Serialize};

use crate::id::AppId;

/// `POST /v1/apps/{app}/rotate`: a new KEK for an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateApp {
    /// Whether the values are written anew, under new DEKs: for when DEKs may be known.
    #[serde(default)]
    pub rewrite: bool,
}

/// `GET /v1/rotations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationList {
    /// The keyring.
    pub keyring: KeyringInfo,
    /// Apps whose KEK is being rotated, by id.
    pub apps: Vec<AppRotation>,
}

/// What is known of the keyring; never a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringInfo {
    /// The version that wraps.
    pub current: u32,
    /// All versions that there are, from old to new; one that nothing is wrapped by any more is destroyed.
    pub versions: Vec<KeyringVersion>,
    /// How far the rotation is; none = none is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationProgress>,
}

/// A version of the keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringVersion {
    /// The version.
    pub version: u32,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// How far a rotation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationProgress {
    /// Rows that are done.
    pub done: u64,
    /// Rows that there were when it was begun, or carried on after a start.
    pub total: u64,
    /// Keys that this node has wrapped anew.
    pub rewrapped: u64,
    /// Rows that stand in the way: the old version stays while there are any.
    pub faults: u64,
    /// What is wrong with the first of them, each with what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The rotation of an app's KEK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRotation {
    /// The app.
    pub app: AppId,
    /// Whether values are written anew.
    pub rewrite: bool,
    /// The versions of its KEK that there are, from old to new; the last one wraps.
    pub kek_versions: Vec<u32>,
    /// When it was begun, RFC 3339.
    pub started_at: String,
    /// How far it is, in values.
    pub progress: RotationProgress,
}
