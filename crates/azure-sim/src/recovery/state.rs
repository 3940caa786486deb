//! The model's state, its agenda of what is due, and its past for lists that lag.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::deleted_vaults::DeletedVault;
use super::item::Item;
use super::names::ItemKey;
use super::operations::Operation;
use super::schedule::Slot;
use super::secondary::Issued;
use super::settings::{Refusal, Settings};
use super::vault::Vault;
use crate::orders::Order;
use crate::wire::{Neighbours, Reply};

/// All vaults of the world, by lower-cased ARM id.
pub(super) type Vaults = BTreeMap<String, Arc<Vault>>;

/// Something that happens by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An operation ends.
    Operation { id: String },
    /// A running job takes its next step; stale when the job's step has moved on.
    Job { vault: String, job: String, step: u64 },
    /// A policy wants a backup; stale when the item's schedule has changed since.
    Backup { vault: String, item: ItemKey, generation: u64, slot: Slot },
    /// Points or their snapshots reach their end; stale when the item expects another moment.
    Sweep { vault: String, item: ItemKey },
    /// A soft-deleted item is purged; stale when it was undeleted.
    Purge { vault: String, item: ItemKey },
}

/// What the world looked like: at present for reads of one thing, a while ago for lists that lag.
pub(super) struct View<'a> {
    pub vaults: &'a Vaults,
    pub now: Timestamp,
}

impl<'a> View<'a> {
    /// The vault of that key.
    pub fn vault_in_world(&self, key: &str) -> Option<&'a Vault> {
        self.vaults.get(key).map(Arc::as_ref)
    }
}

/// Azure Backup's whole state. Pure: time comes in through [`State::handle`](super::State::handle) and
/// [`State::advance`], chance and neighbours through [`Neighbours`].
#[derive(Clone, Debug)]
pub struct State {
    pub(super) settings: Settings,
    pub(super) clock: Timestamp,
    pub(super) vaults: Vaults,
    pub(super) deleted: Vec<DeletedVault>,
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) orders: Vec<Order>,
    /// Access tokens for secondary regions, by themselves.
    pub(super) tokens: BTreeMap<String, Issued>,
    agenda: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    lag: SignedDuration,
    past: VecDeque<(Timestamp, Vaults)>,
}

impl State {
    /// A world without vaults.
    pub fn new(settings: Settings) -> Self {
        State {
            settings,
            clock: Timestamp::UNIX_EPOCH,
            vaults: Vaults::new(),
            deleted: Vec::new(),
            operations: BTreeMap::new(),
            orders: Vec::new(),
            tokens: BTreeMap::new(),
            agenda: BTreeMap::new(),
            sequence: 0,
            lag: SignedDuration::ZERO,
            past: VecDeque::new(),
        }
    }

    /// The settings, which may be changed at any time.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Processes every event due until `to`, in time order. Going back in time does nothing.
    pub fn advance(&mut self, n: &dyn Neighbours, to: Timestamp) {
        while self.step(n, to) {}
        self.clock = self.clock.max(to);
    }

    /// Processes the next event due until `to`; `false` when there is none. What it ordered is to be carried out before
    /// the next one.
    pub fn step(&mut self, n: &dyn Neighbours, to: Timestamp) -> bool {
        let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= to) else { return false };
        self.clock = self.clock.max(entry.key().0);
        let event = entry.remove();
        self.happen(n, event);
        self.remember();
        true
    }

    /// What restores want made elsewhere, in order; whoever takes it carries it out at once.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// When the next thing happens by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets lists answer as of `lag` ago; reads of one thing stay current. What was before the first call is not known to it.
    pub fn set_list_lag(&mut self, lag: SignedDuration) {
        self.lag = lag;
        if lag.is_zero() {
            self.past.clear();
        } else if self.past.is_empty() {
            self.past.push_back((self.clock, self.vaults.clone()));
        }
    }

    fn happen(&mut self, n: &dyn Neighbours, event: Event) {
        match event {
            Event::Operation { id } => self.end_operation(n, &id),
            Event::Job { vault, job, step } => self.step_job(n, &vault, &job, step),
            Event::Backup { vault, item, generation, slot } => self.run_schedule(n, &vault, &item, generation, slot),
            Event::Sweep { vault, item } => self.sweep(&vault, &item),
            Event::Purge { vault, item } => self.purge(&vault, &item),
        }
    }

    pub(super) fn after(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        self.agenda.insert((at, self.sequence), event);
    }

    /// A number that never came before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Keeps the present for lists that lag. Vaults are shared until one of them changes.
    pub(super) fn remember(&mut self) {
        if self.lag.is_zero() {
            return;
        }
        self.past.push_back((self.clock, self.vaults.clone()));
        let seen = self.clock - self.lag;
        while self.past.get(1).is_some_and(|(at, _)| *at <= seen) {
            self.past.pop_front();
        }
    }

    /// The world as lists show it.
    pub(super) fn listed(&self) -> View<'_> {
        if self.lag.is_zero() {
            return self.present();
        }
        let seen = self.clock - self.lag;
        let known = self.past.iter().rev().find(|(at, _)| *at <= seen).or_else(|| self.past.front());
        known.map_or_else(|| self.present(), |(at, vaults)| View { vaults, now: seen.max(*at) })
    }

    pub(super) fn present(&self) -> View<'_> {
        View { vaults: &self.vaults, now: self.clock }
    }

    pub(super) fn vault(&self, key: &str) -> Option<&Vault> {
        self.vaults.get(key).map(Arc::as_ref)
    }

    pub(super) fn vault_mut(&mut self, key: &str) -> Option<&mut Vault> {
        self.vaults.get_mut(key).map(Arc::make_mut)
    }

    pub(super) fn item(&self, vault: &str, item: &ItemKey) -> Option<&Item> {
        self.vault(vault)?.items.get(item)
    }

    pub(super) fn item_mut(&mut self, vault: &str, item: &ItemKey) -> Option<&mut Item> {
        self.vault_mut(vault)?.items.get_mut(item)
    }

    /// Another vault that holds a machine.
    pub(super) fn holder_beside(&self, vault: &Vault, item: &ItemKey, source_id: &str) -> Option<&Vault> {
        let holds = |other: &Vault| other.items.get(item).is_some_and(|item| item.holds(source_id));
        self.vaults.values().map(Arc::as_ref).find(|other| other.id != vault.id && holds(other))
    }
}

/// An error in the shape of the backup service, which adds three nulls to ARM's envelope (§4.1).
pub(super) fn backup_error(status: u16, code: &str, message: impl Into<String>) -> Reply {
    let error = json!({"code": code, "message": message.into(), "target": null, "details": null, "innerError": null});
    Reply::json(status, json!({"error": error}))
}

/// A refusal whose code is a setting.
pub(super) fn refused(refusal: &Refusal, message: impl Into<String>) -> Reply {
    backup_error(refusal.status, &refusal.code, message)
}

/// `patch` laid over `base`: objects merge, everything else replaces; a null in `patch` removes.
pub(super) fn merge(base: &mut Value, patch: &Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    base.remove(name);
                } else {
                    merge(base.entry(name.as_str()).or_insert(Value::Null), value);
                }
            }
        }
        (base, patch) => *base = patch.clone(),
    }
}
