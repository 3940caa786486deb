//! Every reason that a condition may carry, in one place.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Why a condition is as it is: the CamelCase word that people and alerts match on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)+
        }

        impl Reason {
            /// All of them, in the order of the declaration.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),+];

            /// The word as a condition carries it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => stringify!($name),)+
                }
            }

            /// The reason of that name, if it is one of ours.
            pub fn from_word(word: &str) -> Option<Reason> {
                Reason::ALL.iter().copied().find(|r| r.as_str() == word)
            }
        }
    };
}

reasons! {
    // Nothing to do, or the promise holds.
    /// Azure is as declared.
    AsDeclared,
    /// The promise holds.
    Succeeded,
    /// Protected, and the first recovery point is not due yet.
    AwaitingFirstBackup,
    /// At least the declared number of points, young enough.
    WithinTarget,
    /// Nothing is wrong, and nothing is expected.
    NothingDue,
    /// All members are healthy.
    AllHealthy,
    /// Some members are not healthy; the message counts them.
    SomeUnhealthy,
    /// The selectors match no machine.
    NoMachines,

    // Work in progress.
    /// Not looked at since the spec changed.
    NotYetObserved,
    /// A request is being prepared or sent.
    Acting,
    /// An operation runs at Azure.
    OperationRunning,
    /// Azure took the change; its own view lags.
    Settling,
    /// Waiting for another object to be ready; the message names it.
    DependencyNotReady,
    /// Waiting for the API budget or for Azure to let us on.
    Throttled,
    /// Waiting for another operation on the same target.
    Busy,
    /// Asked again soon: Azure or Kubernetes did not answer as hoped.
    Retrying,
    /// The world could not be read; the last value stands until the promise falls due.
    Unreadable,
    /// At the bound of operations or owned resources: nothing new is started.
    AtBound,

    // Waiting for a person to edit or decide.
    /// The spec asks for something that cannot be; the message names the field.
    InvalidSpec,
    /// Azure refused a request for what it says; the message carries its words.
    RefusedByAzure,
    /// An object that the spec points at does not exist.
    ReferenceNotFound,
    /// The machine's region is not the vault's.
    LocationMismatch,
    /// A defence would become weaker than it is in Azure.
    WouldWeaken,
    /// Existing recovery points would expire earlier.
    WouldExpirePoints,
    /// A one-way setting, and the vault has held an item.
    OneWay,
    /// A stop would let existing recovery points expire.
    StopLetsPointsExpire,
    /// More destructive calls within the hour than the brake allows.
    Brake,
    /// An action whose outcome is unknown.
    OutcomeUnknown,
    /// spec.suspend is true.
    Suspended,
    /// spec.mode is Plan and steps are due.
    PlanOnly,

    // Access.
    /// No AzureAccess admits this namespace.
    NoAccess,
    /// Several AzureAccess objects admit this namespace and accessRef is not set.
    AmbiguousAccess,
    /// The AzureAccess does not admit this namespace, scope or act.
    AccessDenied,
    /// The AzureAccess that was pinned is gone or admits no more.
    AccessLost,
    /// Azure gave no token; the message carries the AADSTS code.
    TokenRefused,
    /// Azure answered 403; the message names action and scope.
    AuthorizationFailed,
    /// A lock in Azure forbids the write.
    Locked,
    /// The subscription is disabled or not registered for the provider.
    SubscriptionNotReady,
    /// A quota or service limit is reached.
    QuotaReached,
    /// A resource guard protects the operation: its owners must let it pass.
    ResourceGuarded,
    /// An Azure Policy denies the request.
    DeniedByPolicy,

    // Whose is it?
    /// It exists in Azure and is not ours.
    NotOurs,
    /// Another cluster's operator writes this vault.
    OwnedByOtherCluster,
    /// Another object of ours holds it.
    Conflict,
    /// Protected in this vault under a policy that is not ours.
    ForeignPolicy,
    /// The vault's item of that group and name is of another machine.
    NameTaken,
    /// Protected in another vault.
    ElsewhereProtected,
    /// Deletion waits: something in Azure blocks it; see status.blockers.
    Blocked,
    /// Seen before and gone; never made again empty.
    Missing,
    /// It moved to another group or subscription.
    Moved,
    /// Soft-deleted in Azure.
    SoftDeleted,
    /// The id now belongs to another machine (another vmId).
    IdentityChanged,

    // Runs.
    /// It had been done before this object was made: nothing was sent.
    AlreadyDone,
    /// It was not begun in time, and is not begun any more.
    Expired,
    /// Azure's job failed; the message carries its words.
    JobFailed,
    /// Azure's job was cancelled.
    JobCancelled,
    /// What a restore was to make exists already.
    TargetExists,
    /// Azure would refuse the restore; the message carries what it found.
    ValidationFailed,
    /// The machine runs, and its disks are replaced only while it does not.
    MachineRunning,
    /// Azure Site Recovery replicates the machine, and replication does not survive other disks.
    MachineReplicates,
    /// Azure says that it did it, and shows nothing of it.
    NothingMade,
    /// The namespace does not let the operator make the Secret that a mount of files needs.
    SecretAccessMissing,
    /// What Azure handed out never arrived: it was closed again.
    ScriptsLost,

    // Health of a machine's protection.
    /// No recovery point although one is due.
    NoRecoveryPoint,
    /// The youngest recovery point is older than the promise.
    RecoveryPointTooOld,
    /// The youngest points are in snapshots only, not in the vault.
    SnapshotOnly,
    /// The points are less consistent than declared.
    LessConsistent,
    /// Points are as consistent as declared, or better.
    ConsistentAsDeclared,
    /// A disk of the machine is not backed up.
    DiskExcluded,
    /// All disks of the machine are backed up.
    AllDisksCovered,
    /// Protection is stopped in Azure.
    ProtectionStopped,
    /// Backups are suspended in Azure: points expire.
    BackupsSuspended,
    /// The machine does not exist.
    MachineNotFound,
    /// Not protected (yet).
    NotProtected,

    // Drift.
    /// Somebody changed it in Azure; it will be or was put back.
    Drifted,
    /// Somebody made it stronger in Azure; it is left so.
    StrongerThanDeclared,

    // Why a machine is left out of a policy.
    /// The vault holds as many machines as Azure allows.
    VaultFull,
    /// Azure Backup cannot protect this machine.
    Unsupported,
    /// A copy made by a test failover.
    DrillCopy,
    /// A machine made by a RestoreRun.
    RestoredCopy,
    /// Outside what the AzureAccess admits.
    OutsideGrant,

    // Answers.
    /// The answer fits the question, and was not used yet.
    AnswerStands,
    /// The answer was used.
    AnswerUsed,
    /// The answer expired before it was used.
    AnswerExpired,
    /// The object asks no question with that digest (any more).
    NoSuchQuestion,
    /// The rule of who may answer is not in force: no answer counts.
    AnswersNotInForce,

    // Debts and leftovers.
    /// Something lent is not closed yet.
    DebtOpen,
    /// Something lent cannot be closed; the message has deadline and remedy.
    DebtUnpayable,

    // The engine itself.
    /// This turn panicked or met a bug; the message is for a report.
    InternalError,
    /// The cluster runs in the region that this vault protects.
    SameRegion,
    /// The cluster runs elsewhere.
    OtherRegion,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
