//! Every stop point with a statement that comes there.

/// How a statement comes to a stop point.
pub(super) struct Scene {
    pub(super) point: &'static str,
    /// How often it passes before it is held.
    pub(super) passes: u32,
    /// What else has to happen first.
    pub(super) before: &'static str,
    pub(super) statement: &'static str,
    /// Whether pages are locked there: then nothing interrupts the statement, and a checkpoint
    /// waits.
    pub(super) locked: bool,
}

const ADD: &str =
    "INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g FROM generate_series(500000, 505000) g";
const MERGE: &str = "SELECT learned_retrain('t_k')";
const VACUUM: &str = "VACUUM (INDEX_CLEANUP on) t";
const DELETE: &str = "DELETE FROM t WHERE id % 3 = 0";
/// Dead entries of a unique index, which inserts of the same keys take out.
const ROLLED_BACK: &str =
    "BEGIN; INSERT INTO u SELECT g, g FROM generate_series(1, 2000) g; ROLLBACK";
const REPEATED: &str = "INSERT INTO u SELECT g, g FROM generate_series(1, 2000) g";
/// Few rows in full leaves, so that the leaves have no room for the tombstones.
const DENSE: &str =
    "ALTER INDEX t_k RESET (fillfactor); REINDEX INDEX t_k; DELETE FROM t WHERE id % 3 = 0";

/// The same, with so many of them dead that the leaves have tombstone pages, and so few that they
/// are kept.
const MARKED: &str =
    "ALTER INDEX t_k RESET (fillfactor); REINDEX INDEX t_k; DELETE FROM t WHERE id % 6 = 0;
     VACUUM (INDEX_CLEANUP on) t";
/// Full leaves, of which the first half has dead rows only.
const BEHEADED: &str =
    "ALTER INDEX t_k RESET (fillfactor); REINDEX INDEX t_k; DELETE FROM t WHERE k < 0";
const MERGE_AND_DELETE: &str = "SELECT learned_retrain('t_k'); DELETE FROM t WHERE id % 3 = 0";

const fn scene(
    point: &'static str,
    passes: u32,
    before: &'static str,
    statement: &'static str,
    locked: bool,
) -> Scene {
    Scene { point, passes, before, statement, locked }
}

pub(super) const SCENES: &[Scene] = &[
    scene("ScanBeforeLeaf", 2, "", "SELECT count(*) FROM t WHERE k > 0", false),
    scene("DeltaBeforeRead", 2, "", "SELECT count(*) FROM t WHERE k > 0", false),
    scene("InsertBeforeLock", 20, "", ADD, false),
    scene("InsertUnderLock", 20, "", ADD, true),
    scene("OpenBeforeTransition", 0, MERGE, ADD, false),
    scene("SplitBeforeLock", 0, "", ADD, false),
    scene("SplitBeforeLock", 3, "", ADD, false),
    scene("SplitUnderLock", 0, "", ADD, true),
    scene("SplitUnderLock", 5, "", ADD, true),
    scene(
        "UniqueBeforeLock",
        3,
        "",
        "INSERT INTO u SELECT g, g FROM generate_series(1, 100) g",
        false,
    ),
    scene(
        "UniqueUnderLock",
        3,
        "",
        "INSERT INTO u SELECT g, g FROM generate_series(1, 100) g",
        true,
    ),
    scene("UniqueLook", 3, ROLLED_BACK, REPEATED, true),
    scene("RemovalBeforeLock", 0, ROLLED_BACK, REPEATED, false),
    scene("RemovalUnderLock", 1, ROLLED_BACK, REPEATED, true),
    scene("Frozen", 0, "", MERGE, false),
    scene("RewriteBeforeDirectory", 0, "", MERGE, false),
    scene("PublishBeforeTransition", 0, "", MERGE, false),
    scene("PublishBeforeTransition", 2, "", MERGE, false),
    scene("PublishedBeforeFree", 0, "", MERGE, false),
    scene("FreedOne", 0, "", MERGE, false),
    scene("FreedOne", 100, "", MERGE, false),
    scene("MergedBeforeFree", 1, "", MERGE, false),
    scene("MarkBeforeLock", 0, BEHEADED, "SELECT k FROM t ORDER BY k LIMIT 1", false),
    scene("BeforeMap", 0, MARKED, "SELECT count(*) FROM t WHERE k > 0", true),
    scene("SweepBeforeFree", 0, MERGE_AND_DELETE, VACUUM, false),
    scene("VacuumSwept", 0, DELETE, VACUUM, false),
    scene("VacuumBeforePage", 0, DELETE, VACUUM, false),
    scene("VacuumBeforePage", 50, DELETE, VACUUM, false),
    scene("VacuumBeforeMap", 0, DENSE, VACUUM, false),
    scene("VacuumBeforeWord", 0, DELETE, VACUUM, false),
    scene("RewriteBeforeDirectory", 0, DELETE, VACUUM, false),
    scene("PublishBeforeTransition", 0, DELETE, VACUUM, false),
    scene("PublishedBeforeFree", 0, DELETE, VACUUM, false),
    scene("FreedOne", 3, DELETE, VACUUM, false),
    scene("BuildScanned", 0, "", "CREATE INDEX t_new ON t USING learned (k)", false),
    scene("BuildWritten", 0, "", "CREATE INDEX t_new ON t USING learned (k)", false),
    scene("BuildLogged", 0, "", "CREATE INDEX t_new ON t USING learned (k)", false),
    scene("BuildWritten", 0, "", "REINDEX INDEX t_k", false),
    scene("BuildLogged", 0, "", "REINDEX INDEX CONCURRENTLY t_k", false),
    scene("BuildLogged", 0, "", "CREATE INDEX CONCURRENTLY t_new ON t USING learned (k)", false),
    scene(
        "VacuumBeforePage",
        0,
        "",
        "CREATE INDEX CONCURRENTLY t_new ON t USING learned (k)",
        false,
    ),
];
