//! Where the engine meets the world: one function that builds it, teaches it the kinds and says what runs beside its turns.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use breakwater_api::{Approval, AzureAccess, BackupPolicy, BackupRun, ProtectedMachine, RecoveryVault, RestoreRun};
use breakwater_engine::{
    Engine, Next, Outside,
    ports::{Clock, ObjectKey},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    controllers::{Turns, Waker},
    dependencies,
    metrics::{Inventory, Metrics},
    run::Base,
    term::Work,
    watch::{Change, Watches, What},
};

/// Between two sweeps at least, wall time, however fast the world runs.
const SWEEP_AT_MOST: Duration = Duration::from_secs(1);
/// Between two sweeps at most: a list that was not wanted when the last sweep ended may be by now.
const SWEEP_AT_LEAST: Duration = Duration::from_secs(5);

/// One term's engine, with every kind, primed from the stores before its first turn.
///
/// # Errors
/// When the inventory interval is out of range, which the arguments exclude.
pub fn work(base: &Base, waker: Waker) -> anyhow::Result<Work> {
    let mut engine = Engine::new(Outside {
        arm: base.arm.clone(),
        cluster: base.cluster.clone(),
        clock: base.clock.clone(),
        entropy: base.entropy.clone(),
        leadership: Arc::new(base.lead.this_term()),
        audit: base.audit.clone(),
        telemetry: Arc::new(base.metrics.clone()),
        estate: base.args.estate.clone(),
        writer: base.writer.clone(),
        region: base.args.cluster_region.clone(),
        interval: SignedDuration::try_from(base.args.inventory_interval)?,
    });
    engine.register::<AzureAccess>();
    engine.register::<Approval>();
    engine.register::<RecoveryVault>();
    engine.register::<BackupPolicy>();
    engine.register::<ProtectedMachine>();
    engine.register::<BackupRun>();
    engine.register::<RestoreRun>();
    engine.prime();
    let engine = Arc::new(engine);
    let turns = EngineTurns { engine: engine.clone(), watches: base.watches.clone() };
    let sweeping = sweep(engine, waker, base.metrics.clone());
    Ok(Work { turns: Arc::new(turns), beside: vec![("the sweep of Azure", Box::pin(sweeping))] })
}

/// The engine as the driver calls it.
struct EngineTurns {
    engine: Arc<Engine>,
    watches: Arc<Watches>,
}

#[async_trait]
impl Turns for EngineTurns {
    async fn turn(&self, key: &ObjectKey) -> Duration {
        let next = self.engine.turn(key.clone()).await;
        // It may have gone meanwhile: what its turn claimed and watches since is nobody's.
        if self.engine.outside.cluster.cached(key).is_none() {
            self.engine.gone(key);
        }
        match next {
            Next::At(at) => wall_until(at, &*self.engine.outside.clock),
            Next::Now => Duration::ZERO,
            // The driver drops what is gone from its store; should it come back, its watch says so.
            Next::Gone => Duration::MAX,
        }
    }

    fn woken_by(&self, change: &Change) -> Vec<ObjectKey> {
        if change.what == What::Gone && self.engine.outside.cluster.cached(&change.key).is_none() {
            self.engine.gone(&change.key);
        }
        dependencies::woken_by(&self.watches, change)
    }
}

/// Lists what is due, wakes who should look, and waits for the next.
async fn sweep(engine: Arc<Engine>, waker: Waker, metrics: Metrics) {
    loop {
        let (woken, next) = engine.sweep().await;
        woken.iter().for_each(|key| waker.wake(key));
        metrics.record_inventory(&listings(&engine));
        engine.budget_levels().into_iter().for_each(|(class, level)| metrics.record_budget(class, level));
        let wait = wall_until(next, &*engine.outside.clock).clamp(SWEEP_AT_MOST, SWEEP_AT_LEAST);
        tokio::time::sleep(wait).await;
    }
}

/// How the listings stand that somebody wants.
fn listings(engine: &Engine) -> BTreeMap<String, Inventory> {
    let now = engine.now();
    let wanted = engine.reader.memory.wanted_lists(now);
    inventories(wanted.iter().map(|((_, list), last, _)| (list.path.as_str(), *last)), now, engine.outside.clock.factor())
}

/// How listings of these paths stand, by type of what is listed. One that never came has no time of which it could be old: it is
/// counted.
fn inventories<'l>(wanted: impl Iterator<Item = (&'l str, Option<Timestamp>)>, now: Timestamp, factor: f64) -> BTreeMap<String, Inventory> {
    let mut all: BTreeMap<String, Inventory> = BTreeMap::new();
    for (path, last) in wanted {
        let of_type = all.entry(path.rsplit('/').next().unwrap_or_default().to_owned()).or_default();
        let Some(last) = last else {
            of_type.never_read += 1;
            continue;
        };
        let world = now.duration_since(last).as_secs_f64().max(0.0);
        let age = Duration::try_from_secs_f64(world / factor).unwrap_or(Duration::MAX);
        of_type.age = of_type.age.max(Some(age));
    }
    all
}

/// How long until a world time, in wall time; nothing when it is past.
fn wall_until(at: Timestamp, clock: &dyn Clock) -> Duration {
    let world = at.duration_since(clock.now()).as_secs_f64().max(0.0);
    Duration::try_from_secs_f64(world / clock.factor()).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::WorldOrigin, clock::WorldClock};

    #[test]
    fn world_times_are_waited_for_in_wall_time() {
        let now = Timestamp::now();
        let clock = WorldClock::faster(WorldOrigin { wall: now, world: now }, 60.0);
        let hour = wall_until(clock.now() + SignedDuration::from_hours(1), &clock);
        assert!((hour.as_secs_f64() - 60.0).abs() < 1.0, "{hour:?}");
        assert_eq!(wall_until(now - SignedDuration::from_hours(1), &clock), Duration::ZERO);
    }

    #[test]
    fn an_inventory_that_never_came_is_counted_beside_the_age_of_the_oldest_that_did() {
        let now = Timestamp::UNIX_EPOCH;
        let ago = |minutes: i64| Some(now - SignedDuration::from_mins(minutes));
        let wanted = [("/subscriptions/a/resources", ago(4)), ("/subscriptions/b/resources", ago(10)), ("/s/v/backupProtectedItems", None)];
        let resources = Inventory { age: Some(Duration::from_secs(60)), never_read: 0 };
        let items = Inventory { age: None, never_read: 1 };
        let expected = BTreeMap::from([("resources".to_owned(), resources), ("backupProtectedItems".to_owned(), items)]);
        assert_eq!(inventories(wanted.into_iter(), now, 10.0), expected);
    }
}
