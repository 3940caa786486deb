//! Lists of a vault's jobs: the one listing that may decide (rule 3), and the scarcest reads that Azure admits.

use std::sync::Arc;

use breakwater_arm::{
    ResourceId,
    bodies::crr_jobs_request,
    names::vault_and_region,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use breakwater_plan::sighting::{Listed, Listing, Trouble};
use jiff::{SignedDuration, Timestamp};

use super::{Looker, Reader, get, sample_of, throttled};
use crate::{
    budget::{Priority, Wanted},
    memory::{Jobs, Pages},
};

impl Reader {
    /// Reads a vault's job list to its end, from `since` on, unless somebody did so at or after `fresh`.
    pub async fn jobs(&self, by: &Looker, vault: &ResourceId, since: Timestamp, fresh: Timestamp) {
        self.jobs_unless(by, vault, since, fresh, |at| at >= fresh).await;
    }

    /// The same, unless there is one by now that whoever asks has not `seen`: of those who wait for one list the first reads it for
    /// all. Whether it is new enough is seen when the plan is made again.
    pub async fn newer_jobs(&self, by: &Looker, vault: &ResourceId, since: Timestamp, seen: Option<Timestamp>) {
        let asked = self.clock.now();
        self.jobs_unless(by, vault, since, asked, |at| at >= asked || seen.is_none_or(|seen| at > seen)).await;
    }

    async fn jobs_unless(
        &self,
        by: &Looker,
        vault: &ResourceId,
        since: Timestamp,
        asked: Timestamp,
        is_fresh: impl Fn(Timestamp) -> bool + Send,
    ) {
        let access = &by.identity.access;
        let flight = self.memory.flight(format!("{access} jobs {}", vault.key()));
        let _alone = flight.lock().await;
        let now = self.clock.now();
        // A record may tell of a time that is still to come: a list from then on would hold nothing, and say so to everybody.
        let since = since.min(now);
        let before = self.memory.jobs(access, vault);
        let mut reach = since;
        if let Some(Jobs { listed, reach: reached, .. }) = &before {
            let is_there = listed.last.as_ref().is_some_and(|l| is_fresh(l.at) && *reached <= since);
            if is_there || self.keeps(by, wanted_jobs(by, vault, before.as_ref()), listed.trouble.as_ref(), asked) {
                return;
            }
            reach = reach.min((*reached).max(now - SignedDuration::from_hours(48)));
        }
        let time = |at: Timestamp| breakwater_arm::time::backup_filter_time(at);
        let window = format!(
            "backupManagementType eq 'AzureIaasVM' and startTime eq '{}' and endTime eq '{}'",
            time(reach),
            time(now + SignedDuration::from_hours(24))
        );
        let request = jobs_request(vault).with_query("$filter", &window);
        let mut pages = Pages::of(request.clone(), now, "", before.as_ref().and_then(|jobs| sample_of(&jobs.listed)));
        let jobs = match self.all_jobs(by, request, wanted_jobs(by, vault, before.as_ref()), &mut pages).await {
            Ok(()) => {
                let listing = Listing { at: now, items: Arc::new(pages.items.into_iter().collect()) };
                Jobs { listed: Listed { last: Some(listing), trouble: None }, reach, pages: pages.count }
            }
            // The list before reaches as far back as it did, whatever was asked for now.
            Err(trouble) => {
                let before = before.unwrap_or_else(|| Jobs { listed: Listed::default(), reach: now, pages: 1 });
                // Where it was cut short there is one more at least.
                let so_many = before.pages.max(pages.count + 1);
                Jobs { listed: Listed { trouble: Some(trouble), ..before.listed }, pages: so_many, ..before }
            }
        };
        self.memory.see_jobs(access, vault, jobs);
    }

    /// Half a list of jobs says nothing, and what it took of these few reads is gone: it is begun where it may come to its end, and
    /// what was begun goes before others.
    async fn all_jobs(&self, by: &Looker, first: Request, wanted: Wanted, pages: &mut Pages) -> Result<(), Trouble> {
        let now = self.clock.now();
        self.budget.admits(by.caller(), &[wanted], now).map_err(|spent| throttled(spent, now))?;
        if self.page(by, &first, pages).await? {
            let rest = Looker { priority: by.priority.min(Priority::Debt), ..by.clone() };
            self.pages(&rest, first, pages).await?;
        }
        Ok(())
    }

    /// The target of an action is read for nothing where the list of jobs that must come with it cannot be had: when the budget
    /// lacks for one of both, that is noted and neither leaves. True where both may.
    pub fn with_jobs(&self, by: &Looker, id: &ResourceId, vault: &ResourceId, fresh: Timestamp) -> bool {
        let (access, now) = (&by.identity.access, self.clock.now());
        let before = self.memory.jobs(access, vault);
        let listed = before.as_ref().and_then(|jobs| jobs.listed.last.as_ref()).map(|last| last.at);
        let list = (listed.is_none_or(|at| at < fresh)).then(|| wanted_jobs(by, vault, before.as_ref()));
        let both: Vec<_> = get(id).map(|request| Wanted::one(request, by.priority)).into_iter().chain(list).collect();
        let spent = self.budget.admits(by.caller(), &both, now).err();
        spent.into_iter().map(|spent| throttled(spent, now)).for_each(|trouble| self.note(access, id, trouble));
        spent.is_none()
    }
}

/// The list of a vault's jobs, in its own region or in the other one.
fn jobs_request(vault: &ResourceId) -> Request {
    match vault_and_region(vault) {
        Some((vault, location)) => crr_jobs_request(&location, &vault),
        None => Request::new(Method::Get, format!("{vault}/backupJobs"), RECOVERY_SERVICES),
    }
}

/// That list as it is wanted: as many calls as it had pages before.
pub fn wanted_jobs(by: &Looker, vault: &ResourceId, before: Option<&Jobs>) -> Wanted {
    Wanted { calls: before.map_or(1.0, |jobs| f64::from(jobs.pages.max(1))), ..Wanted::one(jobs_request(vault), by.priority) }
}
