//! What is done to seals on the node: the store opened by one of them, the change worked out, and made here or handed
//! to the server that holds the store.

use data_encoding::{BASE64, HEXLOWER};
use petsem_api::RequestId;
use petsem_keys::{RootKey, Seal, SealContext, SealExt as _, SealSource as _};
use petsem_seals::{PASSPHRASE_KIND, Passphrase, SHAMIR_KIND, SealSettings, ShareSet};
use petsem_store::OpenError;

use petsem_engine::{Timestamp};
use petsem_engine as entropy;
use petsem_engine::{Failure};
use crate::operator::unseal_input::{UnsealInput};
use crate::operator::socket::{Answer, Ask, AskError, ask, unseal_request};
use petsem_engine::{IntegrityFault, RecordCodec, SignedNote, Row, SealRow, StoreRow};
use crate::node::seal_list::{KeepShares, NewSeal, SealAction, SealChange, SealInfo, info};
use crate::settings::{Settings};
use crate::node::start::{StartError, open_installed, record, start_unlocked, stop};
use crate::operator::status::{view_rows};
use crate::node::unlock::{MOST_SEALS, SealedRows, Unlocked, unlock_rows};

/// A seal to add.
#[derive(Debug)]
pub struct AddSeal<'a> {
    /// Its kind. Where the configuration has one of this kind that opens nothing yet, that one is added.
    pub kind: &'a str,
    /// The passphrase that it shall be, for `passphrase` without a file.
    pub passphrase: Option<Passphrase>,
    /// How many shares shall be needed, and how many there shall be, for `shamir`.
    pub shares: Option<(u8, u8)>,
}

/// What trying a seal said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TriedSeal {
    /// The seal; where it opened the store, from now on with that time.
    pub seal: SealInfo,
    /// Why it did not open the store; none if it did. Where nobody was there to try it, that.
    pub fault: Option<String>,
}

/// Opens the server that runs sealed on this node.
///
/// What people gave is in the settings ([`Settings::opened_by`]); without it the server tries its own seals again.
///
/// # Errors
/// [`StartError`]: no server runs here, it is not sealed, or what was given does not open.
pub async fn unseal(settings: &Settings) -> Result<String, StartError> {
    match ask(&settings.data_directory, &unseal_request(&settings.given)).await {
        Ok(Answer::Unsealed { by }) => Ok(by),
        Ok(Answer::Refused { error, .. }) => Err(StartError::Refused(error)),
        Ok(_) => Err(AskError::NoServer.into()),
        Err(AskError::NoServer) => Err(StartError::Refused(
            "no server runs on this node that could be unsealed\nstart one: `petsem server`; it comes up sealed and \
             waits where no seal opens by itself"
                .to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

/// What people can give to open this store: a passphrase, and the wraps that shares are checked against as they are
/// typed.
#[derive(Debug)]
pub struct PeopleSeals {
    /// Whether a passphrase opens it.
    pub passphrase: bool,
    /// An empty set for each seal that shares open.
    pub shares: Vec<ShareSet>,
}

/// Looks what people can give. Opens nothing.
///
/// # Errors
/// [`StartError`]: there is no store, or it cannot be read.
pub async fn people_seals(settings: &Settings) -> Result<PeopleSeals, StartError> {
    let rows = read_rows(settings).await?;
    let mut people = PeopleSeals { passphrase: false, shares: Vec::new() };
    for record in &rows.seals {
        let row: SealRow = petsem_engine::danger_read_unverified(record).map_err(Failure::from)?;
        match row.kind.as_str() {
            PASSPHRASE_KIND => people.passphrase = true,
            SHAMIR_KIND => people.shares.extend(ShareSet::for_wrap(&row.wrapped_root).ok()),
            _ => {}
        }
    }
    Ok(people)
}

async fn read_rows(settings: &Settings) -> Result<SealedRows, StartError> {
    match open_installed(settings).await {
        Ok(store) => {
            let rows = SealedRows::read(&*store).await;
            store.close().await.map_err(Failure::internal)?;
            Ok(rows?)
        }
        Err(StartError::Store(OpenError::InUse { .. })) => view_rows(&settings.data_directory),
        Err(error) => Err(error),
    }
}

/// The seals of the store, their MACs checked by opening it.
///
/// # Errors
/// [`StartError`]: no seal opens, or a row is not what was written.
pub async fn list_seals(settings: &Settings) -> Result<Vec<SealInfo>, StartError> {
    let list = OpenList::open(settings, read_rows(settings).await?).await?;
    Ok(list.seals.iter().map(|(id, row)| info(id, &row.content)).collect())
}

/// Adds a seal: it wraps the same root key as the others.
///
/// # Errors
/// [`StartError`]; nothing was changed then, but that a new key file may have been made.
pub async fn add_seal(
    settings: &Settings,
    wanted: &AddSeal<'_>,
    keep_shares: KeepShares<'_>,
) -> Result<SealInfo, StartError> {
    let list = OpenList::open(settings, read_rows(settings).await?).await?;
    if list.seals.len() >= MOST_SEALS as usize {
        return Err(refused(format!("the store has {MOST_SEALS} seals already; remove one first")));
    }
    let wanted_settings = list.wanted(settings, wanted)?;
    let now = Timestamp::now().millis();
    let new = NewSeal { wanted: &wanted_settings, passphrase: wanted.passphrase.as_ref() };
    let rng = &mut entropy::rng();
    let (id, row) = new.make(rng, &list.unlocked.root, list.unlocked.store_id, now, keep_shares)?;
    let added = info(&id, &row);
    let mut change =
        SealChange::new(SealAction::Add, format!("{} seal {} ({})", added.kind, added.id, added.description));
    change.put(&list.unlocked.codec, &id, 1, &row);
    let ids = list.ids().chain([HEXLOWER.encode(&id)]).collect();
    list.commit(settings, change, Some(ids)).await?;
    Ok(added)
}

/// Removes a seal. What remains must hold one that is known to open.
///
/// # Errors
/// [`StartError`]; nothing was changed then.
pub async fn remove_seal(settings: &Settings, which: &str) -> Result<SealInfo, StartError> {
    let list = OpenList::open(settings, read_rows(settings).await?).await?;
    let (id, row) = list.find(which)?;
    let removed = info(id, &row.content);
    may_remove(&list.seals, id)?;
    let detail = format!("{} seal {} ({})", removed.kind, removed.id, removed.description);
    let mut change = SealChange::new(SealAction::Remove, detail);
    change.delete(id, row.version);
    let ids = list.ids().filter(|other| *other != removed.id).collect();
    list.commit(settings, change, Some(ids)).await?;
    Ok(removed)
}

/// Whether the seals without this one still open the store, as far as anybody knows.
pub(crate) fn may_remove(seals: &[SealOfList], id: &[u8; 16]) -> Result<(), StartError> {
    let mut others = seals.iter().filter(|(other, _)| other != id).peekable();
    if others.peek().is_none() {
        return Err(refused(
            "this is the store's last seal: without it nobody opens the store; nothing was changed\nadd another first: \
             `petsem operator seal add`"
                .to_owned(),
        ));
    }
    if others.all(|(_, row)| row.content.verified_at.is_none()) {
        return Err(refused(
            "no other seal has ever opened the store, so nobody knows whether one can; nothing was changed\ntry the \
             others first: `petsem operator seal verify`"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Tries every seal that is at hand: those of the configuration, and what people gave. What opened is kept in the
/// list.
///
/// # Errors
/// [`StartError`]: none opens, or the list cannot be written.
pub async fn verify_seals(settings: &Settings) -> Result<Vec<TriedSeal>, StartError> {
    let rows = read_rows(settings).await?;
    let list = match OpenList::open(settings, rows.clone()).await {
        // What was given is tried; what opens the store may be another seal.
        Err(first @ StartError::Sealed { .. }) if !settings.given.is_empty() => {
            let configured = settings.clone().opened_by(UnsealInput::default());
            OpenList::open(&configured, rows).await.map_err(|_| first)?
        }
        opened => opened?,
    };
    let (list, at_hand) = list.at_hand(settings).await?;
    let now = Timestamp::now().millis();
    let mut tried = Vec::new();
    let mut change = SealChange::new(SealAction::Verify, String::new());
    let mut names = Vec::new();
    for ((id, row), hand) in list.seals.iter().zip(at_hand) {
        let mut seal = info(id, &row.content);
        let fault = match hand {
            Ok(_) => {
                let next = row.content.verified_at_time(now);
                change.put(&list.unlocked.codec, id, row.version + 1, &next);
                names.push(format!("{} ({})", seal.id, seal.description));
                seal = info(id, &next);
                None
            }
            Err(text) => Some(text),
        };
        tried.push(TriedSeal { seal, fault });
    }
    change.detail = names.join(", ");
    list.commit(settings, change, None).await?;
    Ok(tried)
}

/// A seal's id and its row.
pub(crate) type SealOfList = ([u8; 16], Row<SealRow>);

/// The list of seals with the store opened by one of them, every MAC checked.
pub(crate) struct OpenList {
    pub(crate) unlocked: Unlocked,
    pub(crate) store: Row<StoreRow>,
    pub(crate) seals: Vec<SealOfList>,
}

impl OpenList {
    pub(crate) async fn open(settings: &Settings, rows: SealedRows) -> Result<Self, StartError> {
        let unlocked = unlock_rows(settings, rows.clone()).await?;
        let (store, seals) = checked(&unlocked.codec, &rows).map_err(Failure::from)?;
        Ok(Self { unlocked, store, seals })
    }

    fn ids(&self) -> impl Iterator<Item = String> {
        self.seals.iter().map(|(id, _)| HEXLOWER.encode(id))
    }

    /// The seal whose id begins so, or that has this description.
    pub(crate) fn find(&self, which: &str) -> Result<(&[u8; 16], &Row<SealRow>), StartError> {
        let is_meant = |(id, row): &&SealOfList| {
            which.len() >= 4 && HEXLOWER.encode(id).starts_with(which) || row.content.description == which
        };
        let mut found = self.seals.iter().filter(is_meant);
        match (found.next(), found.next()) {
            (Some((id, row)), None) => Ok((id, row)),
            (None, _) => Err(refused(format!(
                "the store has no seal {which}; nothing was changed\n`petsem operator seal list` shows what there is"
            ))),
            (Some(_), Some(_)) => Err(refused(format!(
                "{which} is more than one seal; nothing was changed\ngive more of the id that `petsem operator seal \
                 list` shows"
            ))),
        }
    }

    /// The configuration's first seal of the kind that opens nothing yet.
    fn wanted(&self, settings: &Settings, wanted: &AddSeal<'_>) -> Result<SealSettings, StartError> {
        if let (SHAMIR_KIND, Some((threshold, shares))) = (wanted.kind, wanted.shares) {
            return Ok(SealSettings::Shamir { threshold, shares });
        }
        if let (PASSPHRASE_KIND, Some(_)) = (wanted.kind, &wanted.passphrase) {
            return Ok(SealSettings::Passphrase { file: None });
        }
        let of_kind: Vec<&SealSettings> =
            settings.seals.iter().filter(|seal| seal.kind() == wanted.kind).collect();
        for seal in &of_kind {
            let opens = match seal.open() {
                Ok(Some(opened)) => self.opened_by(&*opened).is_some(),
                Ok(None) => false,
                // There is none yet: it will be made.
                Err(_) => false,
            };
            if !opens {
                return Ok((*seal).clone());
            }
        }
        Err(refused(match of_kind.is_empty() {
            true => format!(
                "the configuration names no seal of kind {}; nothing was changed\nadd a [[seal]] to it first, then \
                 this command again",
                wanted.kind
            ),
            false => format!(
                "every {} seal of the configuration opens the store already; nothing was changed\nadd another [[seal]] \
                 to it first, then this command again",
                wanted.kind
            ),
        }))
    }

    fn context(&self, id: &[u8; 16]) -> SealContext {
        SealContext::root_key(*self.unlocked.store_id.as_bytes(), *id, self.unlocked.root.version())
    }

    /// The first seal of the list that this opens.
    fn opened_by(&self, seal: &dyn Seal) -> Option<usize> {
        let fits = |(id, row): &SealOfList| {
            row.content.kind == seal.kind()
                && seal.unwrap::<RootKey>(&row.content.wrapped_root, &self.context(id)).is_ok()
        };
        self.seals.iter().position(fits)
    }

    /// For every seal of the list the thing itself, having opened the root key; or why not. Beside the seal that
    /// opened the store those of the configuration and what people gave.
    pub(crate) async fn at_hand(
        self,
        settings: &Settings,
    ) -> Result<(Self, Vec<Result<Box<dyn Seal>, String>>), StartError> {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || {
            let hands = self.take_in_hand(&settings);
            (self, hands)
        })
        .await
        .map_err(|error| refused(format!("the seals were not tried to the end: {error}")))
    }

    fn take_in_hand(&self, settings: &Settings) -> Vec<Result<Box<dyn Seal>, String>> {
        let mut hands: Vec<Result<Box<dyn Seal>, String>> =
            self.seals.iter().map(|(_, row)| Err(nobody_tried(&row.content.kind))).collect();
        for wanted in settings.seals.iter().filter(|wanted| wanted.is_automatic()) {
            match wanted.open() {
                Ok(Some(seal)) => self.take(seal, &mut hands),
                Ok(None) => {}
                Err(error) => self.blame(wanted.kind(), &error.to_string(), &mut hands),
            }
        }
        if let Some(passphrase) = &settings.given.passphrase {
            match Passphrase::new(passphrase.expose_text()) {
                Ok(seal) => self.take(Box::new(seal), &mut hands),
                Err(error) => self.blame(PASSPHRASE_KIND, &error.to_string(), &mut hands),
            }
        }
        for ((id, row), hand) in self.seals.iter().zip(&mut hands) {
            if row.content.kind == SHAMIR_KIND && !settings.given.shares.is_empty() {
                // Shares that combine must still open.
                *hand = by_shares(&settings.given, &row.content).and_then(|seal| {
                    let opened = seal.unwrap::<RootKey>(&row.content.wrapped_root, &self.context(id));
                    opened.map(|_| seal).map_err(|error| error.to_string())
                });
            }
        }
        hands
    }

    /// Puts a seal to the rows that it opens; a seal opens one, two that are alike take one each.
    fn take(&self, seal: Box<dyn Seal>, hands: &mut [Result<Box<dyn Seal>, String>]) {
        let mut said = None;
        for ((id, row), hand) in self.seals.iter().zip(hands.iter_mut()) {
            if row.content.kind != seal.kind() || hand.is_ok() {
                continue;
            }
            match seal.unwrap::<RootKey>(&row.content.wrapped_root, &self.context(id)) {
                Ok(_) => {
                    *hand = Ok(seal);
                    return;
                }
                Err(error) => said = Some(error.to_string()),
            }
        }
        if let Some(said) = said {
            self.blame(seal.kind(), &said, hands);
        }
    }

    /// Tells the rows of a kind that nothing has opened yet what was said.
    fn blame(&self, kind: &str, said: &str, hands: &mut [Result<Box<dyn Seal>, String>]) {
        for ((_, row), hand) in self.seals.iter().zip(hands) {
            if row.content.kind == kind
                && let Err(text) = hand
            {
                said.clone_into(text);
            }
        }
    }

    /// Makes a change: here, or by the server that holds the store.
    async fn commit(
        self,
        settings: &Settings,
        mut change: SealChange,
        names: Option<Vec<String>>,
    ) -> Result<(), StartError> {
        let Self { unlocked, store, .. } = self;
        if let Some(names) = names {
            change.name(&unlocked.codec, store, names);
        }
        match open_installed(settings).await {
            Ok(held) => {
                let started = start_unlocked(settings.clone(), held, unlocked).await?;
                let mut audit = seal_record(&started.state.engine, "node", &change);
                let result = match seal_list::change_seals(&started.state.engine, &mut audit, &change).await {
                    Ok(()) => started.state.engine.record(&audit).await.map_err(StartError::from),
                    Err(failure) => Err(failure.into()),
                };
                stop(started).await.map_err(StartError::Refused)?;
                result
            }
            Err(StartError::Store(OpenError::InUse { .. })) => {
                hand_over(settings, &unlocked.codec, &change).await
            }
            Err(error) => Err(error),
        }
    }
}

async fn hand_over(settings: &Settings, codec: &RecordCodec, change: &SealChange) -> Result<(), StartError> {
    let id = RequestId::new_v7(Timestamp::now().millis(), &entropy::bytes());
    let text = serde_json::to_vec(change).map_err(Failure::internal)?;
    let note = BASE64.encode(&codec.write_note(SignedNote::SealChange, id, &text));
    match ask(&settings.data_directory, &Ask::ChangeSeals { id, note }).await? {
        Answer::Changed {} => Ok(()),
        Answer::Refused { error, .. } => Err(StartError::Refused(error)),
        _ => Err(AskError::NoServer.into()),
    }
}

fn by_shares(given: &UnsealInput, row: &SealRow) -> Result<Box<dyn Seal>, String> {
    let mut set = ShareSet::for_wrap(&row.wrapped_root).map_err(|error| error.to_string())?;
    let mut wrong = Vec::new();
    for share in given.shares.iter() {
        if let Err(error) = set.add(share) {
            wrong.push(error.to_string());
        }
    }
    match set.combine() {
        Ok(seal) => Ok(Box::new(seal)),
        Err(error) => Err(wrong.into_iter().chain([error.to_string()]).collect::<Vec<_>>().join("; ")),
    }
}

fn checked(codec: &RecordCodec, rows: &SealedRows) -> Result<(Row<StoreRow>, Vec<SealOfList>), IntegrityFault> {
    let missing = || IntegrityFault::new("store", &[], "it is missing");
    let store = codec.read::<StoreRow>(&[], rows.store.as_ref().ok_or_else(missing)?)?;
    let mut seals = Vec::new();
    for record in &rows.seals {
        let id = <[u8; 16]>::try_from(record.id.as_slice())
            .map_err(|_| IntegrityFault::new("seal", &record.id, "its id has the wrong length"))?;
        seals.push((id, codec.read::<SealRow>(&record.id, record)?));
    }
    Ok((store, seals))
}

fn nobody_tried(kind: &str) -> String {
    match kind {
        PASSPHRASE_KIND => "it was not tried: give the passphrase with --passphrase-file".to_owned(),
        SHAMIR_KIND => "it was not tried: give shares with --share-file".to_owned(),
        _ => "it was not tried: no [[seal]] of the configuration is this one".to_owned(),
    }
}

pub(crate) fn refused(text: String) -> StartError {
    StartError::Refused(text)
}
