//! Caveats of the format: Fly's registered types with typed bodies, all others as raw bytes.
//!
//! petsem's own types ([`crate::PetsemCaveat`]) are among the raw ones: decoding, MACs and verification never
//! parse their bodies.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use crate::caveats::PetsemCaveat;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;

/// Most caveats in a set, nested ones included.
pub(crate) const MAX_CAVEATS: usize = 512;
/// Deepest nesting of `IfPresent`.
pub(crate) const MAX_IF_DEPTH: usize = 16;

/// Resources, each with the actions allowed on it. `None` (encoded as nil) and an empty map have different
/// bytes, so they are distinct; neither matches anything.
pub type ResourceSet<K> = Option<BTreeMap<K, u16>>;

/// A condition of a token. Names and bodies are those of macaroon-format §4.2; masks are action bits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of macaroon-format §4.2, which names them")]
pub enum Caveat {
    /// 0
    Organization { id: u64, mask: u16 },
    /// 2
    Volumes(ResourceSet<String>),
    /// 3
    Apps(ResourceSet<u64>),
    /// 4: unix seconds, both inclusive.
    ValidityWindow { not_before: i64, not_after: i64 },
    /// 5
    FeatureSet(ResourceSet<String>),
    /// 6
    Mutations(Option<Vec<String>>),
    /// 7
    Machines(ResourceSet<String>),
    /// 8
    ConfineUser(u64),
    /// 9
    ConfineOrganization(u64),
    /// 10: a label that any holder can add.
    IsUser(u64),
    /// 11
    ThirdParty(ThirdParty),
    /// 12: a prefix of the SHA-256 of a tail of the parent.
    BindToParent(Vec<u8>),
    /// 13
    IfPresent(IfPresent),
    /// 14
    MachineFeatureSet(ResourceSet<String>),
    /// 15
    FromMachineSource(String),
    /// 16
    Clusters(ResourceSet<String>),
    /// 19
    ConfineGoogleHd(String),
    /// 20
    ConfineGitHubOrg(u64),
    /// 21: seconds.
    MaxValidity(u64),
    /// 22
    IsMember,
    /// 23, an attestation.
    FlyioUserId(u64),
    /// 24, an attestation.
    GitHubUserId(u64),
    /// 25, an attestation: big-endian magnitude without leading zeros.
    GoogleUserId(Vec<u8>),
    /// 26
    Action(u16),
    /// 27
    Commands(Option<Vec<CommandArgs>>),
    /// 28
    AppFeatureSet(ResourceSet<String>),
    /// 29: the keys are prefixes.
    StorageObjects(ResourceSet<String>),
    /// 30
    AllowedRoles(u32),
    /// 31
    FlySrc { organization: String, app: String, instance: String },
    /// All other types.
    Unregistered(RawCaveat),
}

/// A third-party caveat: the token needs a discharge made from the ticket.
#[derive(Clone, PartialEq, Eq)]
pub struct ThirdParty {
    /// The discharger's location, as the author of the caveat wrote it. Not trusted.
    pub location: String,
    /// The discharge key, sealed under the tail before this caveat. `None` (encoded as nil) occurs only inside
    /// `IfPresent`, where it never opens.
    pub verifier_key: Option<Vec<u8>>,
    /// The discharge key and the conditions, sealed under the key shared with the third party.
    pub ticket: Vec<u8>,
}

impl fmt::Debug for ThirdParty {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ThirdParty({:?}, ..)", self.location)
    }
}

/// Conditions that apply only if the request names the resources that they restrict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfPresent {
    /// The conditions.
    pub ifs: CaveatSet,
    /// The actions allowed if no condition applies.
    pub otherwise: u16,
}

/// One entry of `Commands`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandArgs {
    /// The leading arguments of an allowed command.
    pub args: Option<Vec<String>>,
    /// Whether further arguments are refused.
    pub exact: bool,
}

/// A caveat of a type without a typed body: its bytes are preserved and MACed as received.
#[derive(Clone)]
pub struct RawCaveat {
    kind: u64,
    body: Vec<u8>,
    /// Parsed at its first use, and once: a request clears a token many times. Boxed, because most are small.
    parsed: OnceLock<Result<Option<Box<PetsemCaveat>>, DecodeError>>,
}

impl RawCaveat {
    /// A caveat of this type, with a body of one well-formed value.
    pub(crate) fn new(kind: u64, body: Vec<u8>) -> Self {
        Self { kind, body, parsed: OnceLock::new() }
    }

    /// The caveat, if its type is one of petsem's; `None` if it is not assigned.
    pub(crate) fn parsed(&self) -> Result<Option<&PetsemCaveat>, DecodeError> {
        let parsed = self.parsed.get_or_init(|| Ok(PetsemCaveat::read(self.kind, &self.body)?.map(Box::new)));
        parsed.as_ref().map(Option::as_deref).map_err(|error| *error)
    }

    /// The type number.
    pub fn kind(&self) -> u64 {
        self.kind
    }

    /// One msgpack value, never nil.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl PartialEq for RawCaveat {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.body == other.body
    }
}

impl Eq for RawCaveat {}

impl fmt::Debug for RawCaveat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RawCaveat").field("kind", &self.kind).field("body", &self.body).finish()
    }
}

impl Caveat {
    /// Decodes a caveat from its type number and the bytes of its body.
    ///
    /// # Errors
    /// [`DecodeError`] unless the body is in the canonical form of that type; for a type without a typed body,
    /// unless it is one well-formed value other than nil.
    pub fn from_wire(kind: u64, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let caveat = read_body(kind, &mut reader, &mut Budget::default())?;
        reader.finish()?;
        Ok(caveat)
    }

    /// The type number.
    pub fn kind(&self) -> u64 {
        match self {
            Self::Organization { .. } => 0,
            Self::Volumes(_) => 2,
            Self::Apps(_) => 3,
            Self::ValidityWindow { .. } => 4,
            Self::FeatureSet(_) => 5,
            Self::Mutations(_) => 6,
            Self::Machines(_) => 7,
            Self::ConfineUser(_) => 8,
            Self::ConfineOrganization(_) => 9,
            Self::IsUser(_) => 10,
            Self::ThirdParty(_) => 11,
            Self::BindToParent(_) => 12,
            Self::IfPresent(_) => 13,
            Self::MachineFeatureSet(_) => 14,
            Self::FromMachineSource(_) => 15,
            Self::Clusters(_) => 16,
            Self::ConfineGoogleHd(_) => 19,
            Self::ConfineGitHubOrg(_) => 20,
            Self::MaxValidity(_) => 21,
            Self::IsMember => 22,
            Self::FlyioUserId(_) => 23,
            Self::GitHubUserId(_) => 24,
            Self::GoogleUserId(_) => 25,
            Self::Action(_) => 26,
            Self::Commands(_) => 27,
            Self::AppFeatureSet(_) => 28,
            Self::StorageObjects(_) => 29,
            Self::AllowedRoles(_) => 30,
            Self::FlySrc { .. } => 31,
            Self::Unregistered(raw) => raw.kind,
        }
    }

    /// The canonical bytes of the body.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_body(&mut out);
        out
    }

    /// How much work its evaluation is: one for itself, for each caveat nested in it, and for every 256 bytes of lists.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::IfPresent(inner) => 1 + inner.ifs.as_slice().iter().map(Self::weight).sum::<usize>(),
            Self::Unregistered(raw) => 1 + raw.body.len() / 256,
            _ => 1,
        }
    }

    /// Whether this attests a person's identity; only proofs may contain it (macaroon-format §5.1, §6).
    pub fn is_attestation(&self) -> bool {
        matches!(self, Self::FlyioUserId(_) | Self::GitHubUserId(_) | Self::GoogleUserId(_))
    }

    /// The input of the MAC: a set of this caveat.
    pub(crate) fn as_set(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.array(2);
        self.write(&mut out);
        out
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.uint(self.kind());
        self.write_body(out);
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Organization { id, mask } => {
                out.array(2);
                out.uint(*id);
                out.uint(u64::from(*mask));
            }
            Self::Volumes(set)
            | Self::FeatureSet(set)
            | Self::Machines(set)
            | Self::MachineFeatureSet(set)
            | Self::Clusters(set)
            | Self::AppFeatureSet(set)
            | Self::StorageObjects(set) => write_resources(out, set, |out, key| out.str(key)),
            Self::Apps(set) => write_resources(out, set, |out, key| out.uint(*key)),
            Self::ValidityWindow { not_before, not_after } => {
                out.array(2);
                out.int(*not_before);
                out.int(*not_after);
            }
            Self::Mutations(list) => {
                out.array(1);
                write_list(out, list.as_deref(), |out, text| out.str(text));
            }
            Self::ConfineUser(id) | Self::ConfineOrganization(id) | Self::IsUser(id) => {
                out.array(1);
                out.uint(*id);
            }
            Self::ThirdParty(third_party) => {
                out.array(3);
                out.str(&third_party.location);
                match &third_party.verifier_key {
                    Some(sealed) => out.bin(sealed),
                    None => out.nil(),
                }
                out.bin(&third_party.ticket);
            }
            Self::BindToParent(bytes) | Self::GoogleUserId(bytes) => out.bin(bytes),
            Self::IfPresent(IfPresent { ifs, otherwise }) => {
                out.array(2);
                ifs.write(out);
                out.uint(u64::from(*otherwise));
            }
            Self::FromMachineSource(id) => {
                out.array(1);
                out.str(id);
            }
            Self::ConfineGoogleHd(domain) => out.str(domain),
            Self::ConfineGitHubOrg(number)
            | Self::MaxValidity(number)
            | Self::FlyioUserId(number)
            | Self::GitHubUserId(number) => out.uint(*number),
            Self::IsMember => out.array(0),
            Self::Action(mask) => out.uint(u64::from(*mask)),
            Self::Commands(commands) => write_list(out, commands.as_deref(), |out, command| {
                out.array(2);
                write_list(out, command.args.as_deref(), |out, text| out.str(text));
                out.bool(command.exact);
            }),
            Self::AllowedRoles(mask) => out.uint(u64::from(*mask)),
            Self::FlySrc { organization, app, instance } => {
                out.array(3);
                out.str(organization);
                out.str(app);
                out.str(instance);
            }
            Self::Unregistered(raw) => out.extend_from_slice(&raw.body),
        }
    }
}

/// Caveats in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaveatSet(Vec<Caveat>);

impl CaveatSet {
    /// A set of these caveats, in this order.
    pub fn new(caveats: Vec<Caveat>) -> Self {
        Self(caveats)
    }

    /// Decodes a canonical set.
    ///
    /// # Errors
    /// [`DecodeError`] unless the bytes are in canonical form, within the limits on count and depth, and nothing
    /// follows them.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let set = Self::read(&mut reader, &mut Budget::default())?;
        reader.finish()?;
        Ok(set)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The caveats.
    pub fn as_slice(&self) -> &[Caveat] {
        &self.0
    }

    /// The caveats, owned.
    pub fn into_vec(self) -> Vec<Caveat> {
        self.0
    }

    pub(crate) fn read(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<Self, DecodeError> {
        let mut caveats = Vec::new();
        read_set(reader, budget, |caveat, _| caveats.push(caveat))?;
        Ok(Self(caveats))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.array(2 * self.0.len());
        for caveat in &self.0 {
            caveat.write(out);
        }
    }
}

/// The nesting depth and number of caveats that remain while a token is read.
pub(crate) struct Budget {
    depth: usize,
    caveats: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { depth: MAX_IF_DEPTH, caveats: MAX_CAVEATS }
    }
}

/// Reads a set and passes on each caveat with the bytes of its type and body.
pub(crate) fn read_set<'b>(
    reader: &mut Reader<'b>,
    budget: &mut Budget,
    mut take: impl FnMut(Caveat, &'b [u8]),
) -> Result<(), DecodeError> {
    let elements = reader.array()?;
    if !elements.is_multiple_of(2) {
        return Err(DecodeError::OddCaveatSet);
    }
    budget.caveats = budget.caveats.checked_sub(elements / 2).ok_or(DecodeError::TooManyCaveats)?;
    for _ in 0..elements / 2 {
        let start = reader.position();
        let kind = reader.uint()?;
        let caveat = read_body(kind, reader, budget)?;
        take(caveat, reader.since(start));
    }
    Ok(())
}

fn read_body(kind: u64, reader: &mut Reader<'_>, budget: &mut Budget) -> Result<Caveat, DecodeError> {
    Ok(match kind {
        0 => {
            reader.fields(2)?;
            Caveat::Organization { id: reader.uint()?, mask: reader.u16()? }
        }
        2 => Caveat::Volumes(text_resources(reader)?),
        3 => Caveat::Apps(read_resources(reader, |reader| reader.uint())?),
        4 => {
            reader.fields(2)?;
            Caveat::ValidityWindow { not_before: reader.int()?, not_after: reader.int()? }
        }
        5 => Caveat::FeatureSet(text_resources(reader)?),
        6 => {
            reader.fields(1)?;
            Caveat::Mutations(read_list(reader, read_text)?)
        }
        7 => Caveat::Machines(text_resources(reader)?),
        8 => Caveat::ConfineUser(only_uint(reader)?),
        9 => Caveat::ConfineOrganization(only_uint(reader)?),
        10 => Caveat::IsUser(only_uint(reader)?),
        11 => {
            reader.fields(3)?;
            Caveat::ThirdParty(ThirdParty {
                location: read_text(reader)?,
                verifier_key: if reader.nil() { None } else { Some(reader.bin()?.to_vec()) },
                ticket: reader.bin()?.to_vec(),
            })
        }
        12 => Caveat::BindToParent(reader.bin()?.to_vec()),
        13 => {
            budget.depth = budget.depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
            reader.fields(2)?;
            let ifs = CaveatSet::read(reader, budget)?;
            budget.depth += 1;
            Caveat::IfPresent(IfPresent { ifs, otherwise: reader.u16()? })
        }
        14 => Caveat::MachineFeatureSet(text_resources(reader)?),
        15 => {
            reader.fields(1)?;
            Caveat::FromMachineSource(read_text(reader)?)
        }
        16 => Caveat::Clusters(text_resources(reader)?),
        19 => Caveat::ConfineGoogleHd(read_text(reader)?),
        20 => Caveat::ConfineGitHubOrg(reader.uint()?),
        21 => Caveat::MaxValidity(reader.uint()?),
        22 => {
            reader.fields(0)?;
            Caveat::IsMember
        }
        23 => Caveat::FlyioUserId(reader.uint()?),
        24 => Caveat::GitHubUserId(reader.uint()?),
        25 => {
            let magnitude = reader.bin()?;
            if magnitude.first() == Some(&0) {
                return Err(DecodeError::NotCanonical);
            }
            Caveat::GoogleUserId(magnitude.to_vec())
        }
        26 => Caveat::Action(reader.u16()?),
        27 => Caveat::Commands(read_list(reader, |reader| {
            reader.fields(2)?;
            Ok(CommandArgs { args: read_list(reader, read_text)?, exact: reader.bool()? })
        })?),
        28 => Caveat::AppFeatureSet(text_resources(reader)?),
        29 => Caveat::StorageObjects(text_resources(reader)?),
        30 => Caveat::AllowedRoles(reader.u32()?),
        31 => {
            reader.fields(3)?;
            Caveat::FlySrc {
                organization: read_text(reader)?,
                app: read_text(reader)?,
                instance: read_text(reader)?,
            }
        }
        _ => match reader.any()? {
            [0xc0] => return Err(DecodeError::NilBody),
            body => Caveat::Unregistered(RawCaveat::new(kind, body.to_vec())),
        },
    })
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.str().map(str::to_owned)
}

fn only_uint(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    reader.fields(1)?;
    reader.uint()
}

fn text_resources(reader: &mut Reader<'_>) -> Result<ResourceSet<String>, DecodeError> {
    read_resources(reader, read_text)
}

/// A struct with one field: a map with ascending keys, or nil.
fn read_resources<K: Ord>(
    reader: &mut Reader<'_>,
    mut read_key: impl FnMut(&mut Reader<'_>) -> Result<K, DecodeError>,
) -> Result<ResourceSet<K>, DecodeError> {
    reader.fields(1)?;
    if reader.nil() {
        return Ok(None);
    }
    let mut set = BTreeMap::new();
    for _ in 0..reader.map()? {
        let key = read_key(reader)?;
        if set.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(DecodeError::NotCanonical);
        }
        let mask = reader.u16()?;
        set.insert(key, mask);
    }
    Ok(Some(set))
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Option<Vec<T>>, DecodeError> {
    if reader.nil() {
        return Ok(None);
    }
    let mut list = Vec::new();
    for _ in 0..reader.array()? {
        list.push(read(reader)?);
    }
    Ok(Some(list))
}

fn write_resources<K>(out: &mut Vec<u8>, set: &ResourceSet<K>, write_key: impl Fn(&mut Vec<u8>, &K)) {
    out.array(1);
    match set {
        None => out.nil(),
        Some(set) => {
            out.map(set.len());
            for (key, mask) in set {
                write_key(out, key);
                out.uint(u64::from(*mask));
            }
        }
    }
}

fn write_list<T>(out: &mut Vec<u8>, list: Option<&[T]>, write: impl Fn(&mut Vec<u8>, &T)) {
    match list {
        None => out.nil(),
        Some(list) => {
            out.array(list.len());
            for item in list {
                write(out, item);
            }
        }
    }
}
