//! Which queries ask how many rows of a table there are, and nothing that an index cannot tell.

use std::ffi::c_void;

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;

use crate::am::aggregate::Aggregate;
use crate::am::indexes_of_ours;
use crate::node::{is_plain_select, translated};

/// `Anum_pg_aggregate_aggfinalfn` and `Anum_pg_aggregate_aggsortop` of pg_aggregate_d.h.
const FINAL_FUNCTION: pg_sys::AttrNumber = 5;
const SORT_OPERATOR: pg_sys::AttrNumber = 16;

/// Where the planner offers paths to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Stage {
    /// For aggregates, and for groups.
    Groups,
    /// For `SELECT DISTINCT`: each row of the result is a group without aggregates.
    Distinct,
}

/// A query that asks for aggregates over the rows of one table.
pub(super) struct Query {
    /// The table as the query names it. Its columns are those that the aggregates speak of.
    pub(super) named: *mut pg_sys::RelOptInfo,
    /// The tables that have its rows: itself, or its partitions or children.
    pub(super) tables: Vec<Table>,
    stage: Stage,
    /// What the rows of the result have.
    pub(super) target: *mut pg_sys::PathTarget,
    /// What it groups them by, as clauses and as expressions, and the aggregates, each once.
    pub(super) clauses: *mut pg_sys::List,
    pub(super) groups: Vec<*mut pg_sys::Expr>,
    pub(super) aggregates: Vec<*mut pg_sys::Aggref>,
    /// The conditions on groups: a list, null for none.
    pub(super) having: *mut pg_sys::List,
}

/// A table that has rows of the one that a query names.
pub(super) struct Table {
    /// The table, as the planner knows it.
    pub(super) rel: *mut pg_sys::RelOptInfo,
    pub(super) oid: pg_sys::Oid,
    /// Whether indexes of ours may count its rows.
    pub(super) is_counted: bool,
    /// The steps of inheritance from the table that the query names down to this one.
    descent: Vec<*mut pg_sys::AppendRelInfo>,
}

/// What one aggregate asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The number of rows.
    Rows,
    /// The number of rows in which a column of the table is not NULL.
    NotNull(pg_sys::AttrNumber),
    /// The value of a column of the table that comes first by an operator; it is what an aggregate
    /// gives.
    First(pg_sys::AttrNumber, pg_sys::Oid, pg_sys::Oid),
    /// What an aggregate makes of the values of a column.
    Aggregate(pg_sys::AttrNumber, pg_sys::Oid),
}

impl Query {
    /// A query, if it is of that kind, and one of the tables that have rows for it has an index of
    /// ours.
    ///
    /// # Safety
    /// Called while the planner makes paths for aggregates over `input`, which go to `output`.
    pub(super) unsafe fn of(
        root: *mut pg_sys::PlannerInfo,
        input: *mut pg_sys::RelOptInfo,
        output: *mut pg_sys::RelOptInfo,
        stage: Stage,
    ) -> Option<Query> {
        // SAFETY: by contract.
        unsafe {
            let (parse, rel) = (&*(*root).parse, &*input);
            let is_table = rel.reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL
                && rel.rtekind == pg_sys::RTEKind::RTE_RELATION;
            if !is_table
                || !is_plain_select(root, parse)
                || !rel.lateral_relids.is_null()
                || pg_sys::is_dummy_rel(input)
            {
                return None;
            }
            let mut tables = Vec::new();
            if !add_tables(root, input, &[], &mut tables)
                || !tables.iter().any(|table| table.is_counted)
            {
                return None;
            }
            let (clauses, target) = match stage {
                Stage::Groups => (parse.groupClause, (*output).reltarget),
                Stage::Distinct if asks_for_distinct_rows(parse) => {
                    let stage = pg_sys::UpperRelationKind::UPPERREL_DISTINCT as usize;
                    (parse.distinctClause, (*root).upper_targets[stage])
                }
                Stage::Distinct => return None,
            };
            let groups = pg_sys::get_sortgrouplist_exprs(clauses, (*root).processed_tlist);
            let groups: Vec<_> = PgList::<pg_sys::Expr>::from_pg(groups).iter_ptr().collect();
            let mut found = Found { groups: &groups, aggregates: Vec::new() };
            let having = parse.havingQual.cast::<pg_sys::List>();
            let is_told = [(*target).exprs, having]
                .into_iter()
                .all(|exprs| !look_into(exprs.cast(), (&raw mut found).cast()));
            let aggregates = found.aggregates;
            let is_asked = !groups.is_empty() || !aggregates.is_empty();
            (is_told && is_asked).then_some(Query {
                named: input,
                tables,
                stage,
                target,
                clauses,
                groups,
                aggregates,
                having,
            })
        }
    }

    /// What groups are told apart by, as columns of rows.
    ///
    /// # Safety
    /// Called while the planner makes paths for this query.
    pub(super) unsafe fn grouping_target(&self) -> *mut pg_sys::PathTarget {
        // SAFETY: by contract.
        unsafe {
            let target = pg_sys::create_empty_pathtarget();
            let clauses = PgList::<pg_sys::SortGroupClause>::from_pg(self.clauses);
            for (clause, &group) in clauses.iter_ptr().zip(&self.groups) {
                pg_sys::add_column_to_pathtarget(target, group, (*clause).tleSortGroupRef);
            }
            target
        }
    }

    /// The order in which rows of a group come one after the other: null if all rows do.
    ///
    /// # Safety
    /// Called while the planner makes paths for this query, whose groups can be sorted.
    pub(super) unsafe fn pathkeys(&self, root: *mut pg_sys::PlannerInfo) -> *mut pg_sys::List {
        // SAFETY: by contract.
        unsafe {
            match self.stage {
                Stage::Groups => (*root).group_pathkeys,
                Stage::Distinct => (*root).distinct_pathkeys,
            }
        }
    }

    /// Whether several tables have its rows, of which the core puts together what each gives.
    pub(super) fn is_of_several(&self) -> bool {
        self.tables.len() > 1
    }

    /// Whether it groups the rows.
    pub(super) fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// What an aggregate asks for, if that is something that an index can tell.
    ///
    /// # Safety
    /// The aggregate is one of this query.
    pub(super) unsafe fn asked(&self, aggregate: *mut pg_sys::Aggref) -> Option<Asked> {
        // SAFETY: by contract; a node is what its tag says.
        unsafe {
            let aggregate = &*aggregate;
            let is_plain = aggregate.aggfilter.is_null()
                && aggregate.aggdistinct.is_null()
                && aggregate.aggorder.is_null()
                && aggregate.aggdirectargs.is_null()
                && aggregate.agglevelsup == 0
                && aggregate.aggsplit == pg_sys::AggSplit::AGGSPLIT_SIMPLE;
            let function = aggregate.aggfnoid.to_u32();
            if !is_plain {
                return None;
            }
            if function == pg_sys::F_COUNT_ {
                return Some(Asked::Rows);
            }
            let args = PgList::<pg_sys::TargetEntry>::from_pg(aggregate.args);
            let arg = (*args.get_ptr(0).filter(|_| args.len() == 1)?).expr;
            if function == pg_sys::F_COUNT_ANY && (*arg).type_ == NodeTag::T_Const {
                return (!(*arg.cast::<pg_sys::Const>()).constisnull).then_some(Asked::Rows);
            }
            let column = self.column(arg)?;
            if function == pg_sys::F_COUNT_ANY {
                return Some(Asked::NotNull(column));
            }
            Some(match function_of(aggregate.aggfnoid, SORT_OPERATOR) {
                Some(operator) => Asked::First(column, operator, aggregate.aggfnoid),
                None => Asked::Aggregate(column, aggregate.aggfnoid),
            })
        }
    }

    /// Whether what we give for each aggregate over some of the rows is the state from which the
    /// core comes to its value over all of them: one that is known here, or else the value.
    ///
    /// # Safety
    /// Called while the planner makes paths for this query.
    pub(super) unsafe fn can_be_put_together(&self, root: *mut pg_sys::PlannerInfo) -> bool {
        // SAFETY: by contract.
        unsafe {
            let is_state = |&aggregate: &*mut pg_sys::Aggref| {
                let pg_sys::Aggref { aggfnoid: function, aggtranstype, aggtype, .. } = *aggregate;
                match Aggregate::of_function(function) {
                    Some(known) => known.has_states(),
                    None => {
                        aggtranstype == aggtype && function_of(function, FINAL_FUNCTION).is_none()
                    }
                }
            };
            !(*root).hasNonPartialAggs && self.aggregates.iter().all(is_state)
        }
    }

    /// The number of a column of the table, if an expression is one.
    ///
    /// # Safety
    /// The expression is one of this query.
    pub(super) unsafe fn column(&self, expr: *mut pg_sys::Expr) -> Option<pg_sys::AttrNumber> {
        // SAFETY: by contract; a node is what its tag says.
        unsafe {
            let var = expr.cast::<pg_sys::Var>();
            let is_column = (*expr).type_ == NodeTag::T_Var
                && (*var).varno as pg_sys::Index == (*self.named).relid
                && (*var).varlevelsup == 0
                && (*var).varattno > 0;
            is_column.then(|| (*var).varattno)
        }
    }
}

impl Table {
    /// The column of this table that a column of the one that the query names is.
    pub(super) fn column(&self, named: pg_sys::AttrNumber) -> Option<pg_sys::AttrNumber> {
        self.descent.iter().try_fold(named, |column, step| {
            // SAFETY: the planner's own; a node is what its tag says. A column that was dropped is
            // null there.
            unsafe {
                let columns = PgList::<pg_sys::Node>::from_pg((**step).translated_vars);
                let var = columns.get_ptr(usize::try_from(column - 1).ok()?)?;
                let is_var = !var.is_null() && (*var).type_ == NodeTag::T_Var;
                is_var.then(|| (*var.cast::<pg_sys::Var>()).varattno)
            }
        })
    }

    /// An expression, or a list, that is about the table that the query names: about this one.
    ///
    /// # Safety
    /// Called while the planner makes paths for the query.
    pub(super) unsafe fn translated<T>(
        &self,
        root: *mut pg_sys::PlannerInfo,
        node: *mut T,
    ) -> *mut T {
        // SAFETY: by contract.
        unsafe { translated(root, &self.descent, node) }
    }

    /// Whether a column is declared NOT NULL, as the active snapshot sees it. An older snapshot, as
    /// a STABLE function may have that of its caller, may see NULLs.
    pub(super) fn is_never_null(&self, column: pg_sys::AttrNumber) -> bool {
        // SAFETY: the planner's own; the table is locked, and has the column. The tuple is
        // released.
        unsafe {
            // Without constraints that are not validated.
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            if !pg_sys::bms_is_member(column.into(), (*self.rel).notnullattnums) {
                return false;
            }
            let id = pg_sys::SysCacheIdentifier::ATTNUM as i32;
            let tuple = pg_sys::SearchSysCache2(id, self.oid.into(), column.into());
            if tuple.is_null() {
                return false;
            }
            let attribute = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_attribute>();
            let since = pg_sys::htup::HeapTupleHeaderGetXmin((*tuple).t_data);
            let is_seen = pg_sys::ActiveSnapshotSet()
                && !pg_sys::XidInMVCCSnapshot(since, pg_sys::GetActiveSnapshot());
            let is_never_null = (*attribute).attnotnull && is_seen;
            pg_sys::ReleaseSysCache(tuple);
            is_never_null
        }
    }
}

/// Adds the tables that have the rows of one, as far as they may have some that the query asks for.
/// False if a sample is asked for.
///
/// # Safety
/// The relation is one of the query that is planned; `descent` leads to it from the one that the
/// query names.
unsafe fn add_tables(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    descent: &[*mut pg_sys::AppendRelInfo],
    tables: &mut Vec<Table>,
) -> bool {
    // SAFETY: by contract.
    unsafe {
        let number = (*rel).relid;
        let entry = &**(*root).simple_rte_array.add(number as usize);
        if !entry.tablesample.is_null() {
            return false;
        }
        if !entry.inh {
            let has_index = indexes_of_ours(rel).next().is_some();
            let is_counted = has_index && is_heap(entry.relid);
            let descent = descent.to_vec();
            tables.push(Table { rel, oid: entry.relid, is_counted, descent });
            return true;
        }
        let children = PgList::<pg_sys::AppendRelInfo>::from_pg((*root).append_rel_list);
        let mut children = children.iter_ptr().filter(|child| (**child).parent_relid == number);
        children.all(|child| {
            let rel = *(*root).simple_rel_array.add((*child).child_relid as usize);
            if rel.is_null() || pg_sys::is_dummy_rel(rel) {
                return true;
            }
            add_tables(root, rel, &[descent, &[child]].concat(), tables)
        })
    }
}

/// Whether a query asks for distinct rows of a table, and not for aggregates of them.
fn asks_for_distinct_rows(parse: &pg_sys::Query) -> bool {
    !parse.distinctClause.is_null()
        && !parse.hasDistinctOn
        && !parse.hasAggs
        && !parse.hasWindowFuncs
        && parse.groupClause.is_null()
        && parse.havingQual.is_null()
}

/// Whether a table's access method is heap: what a visibility map says is known of no other. A
/// materialized view that has not been populated is left to the core, which refuses it.
///
/// # Safety
/// The table is locked.
unsafe fn is_heap(table: pg_sys::Oid) -> bool {
    // SAFETY: by contract; what is opened here is closed here.
    unsafe {
        let open = pg_sys::table_open(table, pg_sys::NoLock as pg_sys::LOCKMODE);
        let class = &*(*open).rd_rel;
        let kind = class.relkind as u8;
        let is_heap = class.relam == pg_sys::HEAP_TABLE_AM_OID
            && class.relispopulated
            && (kind == pg_sys::RELKIND_RELATION || kind == pg_sys::RELKIND_MATVIEW);
        pg_sys::table_close(open, pg_sys::NoLock as pg_sys::LOCKMODE);
        is_heap
    }
}

/// What is looked for in the expressions of a query.
struct Found<'q> {
    groups: &'q [*mut pg_sys::Expr],
    aggregates: Vec<*mut pg_sys::Aggref>,
}

/// Collects the aggregates in an expression. Whether there is anything beside them, and beside what
/// the query groups by, that comes from rows.
///
/// # Safety
/// `node` is null, or valid; `found` is a [`Found`].
#[pg_guard]
unsafe extern "C-unwind" fn look_into(node: *mut pg_sys::Node, found: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        let known = &mut *found.cast::<Found<'_>>();
        let equal = |other: *mut pg_sys::Node| pg_sys::equal(node.cast(), other.cast());
        if known.groups.iter().any(|group| equal(group.cast())) {
            return false;
        }
        match (*node).type_ {
            NodeTag::T_Aggref => {
                if !known.aggregates.iter().any(|aggregate| equal(aggregate.cast())) {
                    known.aggregates.push(node.cast());
                }
                false
            }
            NodeTag::T_Var | NodeTag::T_PlaceHolderVar | NodeTag::T_GroupingFunc => true,
            _ => pg_sys::expression_tree_walker(node, Some(look_into), found),
        }
    }
}

/// A function or an operator of an aggregate, by the column of `pg_aggregate` that it is in; if it
/// has one.
///
/// # Safety
/// Within a transaction.
unsafe fn function_of(aggregate: pg_sys::Oid, column: pg_sys::AttrNumber) -> Option<pg_sys::Oid> {
    // SAFETY: by contract; the tuple is released.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::AGGFNOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, aggregate.into());
        if tuple.is_null() {
            return None;
        }
        let mut is_null = false;
        let found = pg_sys::SysCacheGetAttr(id, tuple, column, &mut is_null);
        pg_sys::ReleaseSysCache(tuple);
        let found = pg_sys::Oid::from_u32(found.value() as u32);
        (!is_null && found != pg_sys::InvalidOid).then_some(found)
    }
}
