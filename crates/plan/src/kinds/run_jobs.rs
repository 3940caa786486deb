//! The jobs that a run looks through for its own: those of late, which prove, and those of earlier days, which only remember.
//!
//! A vault of a thousand machines has thirty thousand jobs in a month, and Azure lets 150 lists or pages of them be read in an
//! hour (backup.md §4.4). So all jobs are listed of the last two days only; of what came before, those of one operation
//! (backup.md §4.5), once a day for all runs of a vault.

use breakwater_api::Reason;
use breakwater_arm::{ResourceId, names, time::backup_filter_time, versions::RECOVERY_SERVICES};
use jiff::{SignedDuration, Timestamp};

use super::runs::{self, Own};
use crate::{
    facts::{Facts, Fresh, List, Need},
    graph::Hold,
    jobs::SeenJob,
};

/// How far back jobs are looked at for one that was started under the same once-key: as long as Azure tells of them.
const REACH: i32 = 30;

/// The operation that there are many of.
pub(super) const BACKUP: &str = "Backup";

/// How old a list of earlier jobs may be: what is over does not change any more.
const EARLIER_WITHIN: SignedDuration = SignedDuration::from_hours(26);

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What is looked through.
pub(super) struct Looked<'a> {
    /// The vault whose jobs tell of the run: the vault itself, or the vault as the other region shows it.
    pub vault: &'a ResourceId,
    pub machine: &'a ResourceId,
    /// What Azure calls the job.
    pub operation: &'static str,
    /// When the run was declared.
    pub created: Timestamp,
    /// When it was begun, where it was: what came before that was looked through then.
    pub begun: Option<Timestamp>,
}

impl Looked<'_> {
    /// What must be listed. Of its own job that an earlier day shows running, the list of late tells how it goes.
    pub fn needs(&self, own: &Own<'_>, known: &Facts) -> Vec<Need> {
        let margin = SignedDuration::from_hours(1);
        let earlier = self.earlier(known).unwrap_or_default();
        let runs_since = own.by_id(&earlier).filter(|job| !job.over).and_then(|job| job.start);
        let of_late = match self.begun {
            Some(at) => at - margin,
            None if self.is_elsewhere() => day(self.created) - DAY * REACH,
            None => runs_since.map_or(self.late(), |at| (at - margin).min(self.late())),
        };
        let late = Need::Jobs { vault: self.vault.clone(), since: of_late, fresh: Fresh::Within(SignedDuration::from_hours(1)) };
        let earlier = self.lists(known).unwrap_or_default();
        let earlier = earlier.into_iter().map(|list| Need::ListUnder { list, fresh: Fresh::Within(EARLIER_WITHIN) });
        std::iter::once(late).chain(earlier).collect()
    }

    /// The machine's jobs, those of late first; `None` while one of the lists has not come.
    pub fn jobs(&self, facts: &Facts) -> Option<Vec<SeenJob>> {
        let late = runs::jobs(self.vault, self.machine, facts)?;
        Some(late.into_iter().chain(self.earlier(facts)?).collect())
    }

    /// The machine's jobs of earlier days.
    pub fn earlier(&self, facts: &Facts) -> Option<Vec<SeenJob>> {
        let container = names::job_container(self.machine);
        let listings = self.lists(facts)?.into_iter().map(|list| facts.lists.get(&list)?.last.as_ref());
        let jobs = listings.map(|listing| Some(SeenJob::of(listing?, &container)));
        Some(jobs.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// When they were listed last.
    pub fn listed_at(&self, facts: &Facts) -> Option<Timestamp> {
        let at = facts.jobs.get(self.vault)?.last.as_ref()?.at;
        self.earlier(facts).map(|_| at)
    }

    /// Nothing is begun before all of them were listed: one may be the run's own.
    pub fn hold(&self, facts: &Facts) -> Option<Hold> {
        let (what, listed) = match self.lists(facts) {
            None => ("the job list of", facts.jobs.get(self.vault)),
            Some(lists) => {
                ("the earlier jobs of", lists.into_iter().find(|list| facts.list(list).is_none()).map(|list| facts.lists.get(&list))?)
            }
        };
        let trouble = listed.and_then(|listed| listed.trouble.as_ref());
        let none = || {
            let why = "one of the jobs may be of an earlier object of the same key";
            Hold::wait(Reason::NotYetObserved, format!("waiting for {what} {}: {why}", self.vault))
        };
        Some(trouble.map_or_else(none, |trouble| Hold::trouble(trouble, format!("{what} {}: {}", self.vault, trouble.message))))
    }

    /// From when on all jobs are listed. In whole days: one list serves all runs that were declared on one day.
    fn late(&self) -> Timestamp {
        day(self.created) - DAY
    }

    /// In the other region a vault's jobs are its restores there, and a POST lists them: few, and in one list.
    fn is_elsewhere(&self) -> bool {
        names::vault_and_region(self.vault).is_some()
    }

    /// The lists of what came before; `None` while it cannot be said how many days one of them may span.
    fn lists(&self, facts: &Facts) -> Option<Vec<List>> {
        if self.begun.is_some() || self.is_elsewhere() {
            return Some(Vec::new());
        }
        let days = self.span(facts)?;
        let (late, first) = (self.late(), day(self.created) - DAY * REACH);
        let mut spans: Vec<List> = Vec::new();
        let mut from = first;
        while from < late {
            let to = from + DAY * days;
            spans.push(self.list(from, to));
            from = to;
        }
        Some(spans)
    }

    /// Days of one list: of backups, by what the list of late has in a day, so many that it has thirty pages or fewer, which come
    /// before the links between them are too old. Of restores there are few.
    fn span(&self, facts: &Facts) -> Option<i32> {
        let listing = facts.jobs.get(self.vault)?.last.as_ref()?;
        let days = (listing.at.duration_since(self.late()).as_secs_f64() / DAY.as_secs_f64()).max(1.0);
        Some(match listing.items.len() as f64 / days {
            daily if daily <= 200.0 || self.operation != BACKUP => REACH,
            daily if daily <= 1_000.0 => 6,
            _ => 1,
        })
    }

    /// Whether the end of the filter bounds a job's start or its end is nowhere written: a day more serves both.
    fn list(&self, from: Timestamp, to: Timestamp) -> List {
        let (from, to) = (backup_filter_time(from), backup_filter_time(to + DAY));
        let filter = format!(
            "backupManagementType eq 'AzureIaasVM' and operation eq '{}' and startTime eq '{from}' and endTime eq '{to}'",
            self.operation
        );
        List {
            path: format!("{}/backupJobs", self.vault),
            query: vec![("$filter".into(), filter)],
            api_version: RECOVERY_SERVICES,
            partial: false,
        }
    }
}

fn day(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(86_400) * 86_400).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::sighting::{Listed, Listing, Packed};

    const VAULT: &str =
        "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/main";

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The spans of the lists for a run of noon in a vault with so many jobs since the day before.
    fn spans(operation: &'static str, jobs: usize) -> Vec<(String, String)> {
        let (vault, created) = (VAULT.parse::<ResourceId>().unwrap(), time("2026-03-31T12:00:00Z"));
        let machine = vault.clone();
        let mut facts = Facts::default();
        let item = |n: usize| (vault.child("backupJobs", &format!("j{n}")).unwrap(), Packed::among(&json!({}), &mut None));
        let listing = Listing { at: created, items: Arc::new((0..jobs).map(item).collect()) };
        facts.jobs.insert(vault.clone(), Listed { last: Some(listing), trouble: None });
        let looked = Looked { vault: &vault, machine: &machine, operation, created, begun: None };
        let lists = looked.lists(&facts).expect("the jobs of late are known");
        let bound = |list: &List, term: &str| {
            let (_, rest) = list.query[0].1.split_once(&format!("{term} eq '")).expect("a bound");
            rest.split('\'').next().unwrap().to_owned()
        };
        lists.iter().map(|list| (bound(list, "startTime"), bound(list, "endTime"))).collect()
    }

    #[test]
    fn of_a_vault_of_few_jobs_one_list_reaches_back_to_what_azure_forgets() {
        let whole = vec![("2026-03-01 12:00:00 AM".to_owned(), "2026-04-01 12:00:00 AM".to_owned())];
        assert_eq!(spans(BACKUP, 40), whole);
        assert_eq!(spans("Restore", 60_000), whole, "a page of restores, however many backups there are");
    }

    #[test]
    fn of_a_vault_of_many_jobs_each_list_has_as_many_pages_as_may_come_before_its_links_are_old() {
        assert_eq!((spans(BACKUP, 1_500).len(), spans(BACKUP, 9_000).len()), (5, 29));
        let spans = spans(BACKUP, 9_000);
        assert_eq!(spans[1], ("2026-03-02 12:00:00 AM".to_owned(), "2026-03-04 12:00:00 AM".to_owned()), "and none is left out");
        assert_eq!(spans[28].1, "2026-03-31 12:00:00 AM", "up to the jobs of late");
    }
}
