//! Which queries ask for one row of each group, and which indexes have the rows in such groups.

use pgrx::PgList;
use pgrx::pg_sys;

use crate::am::indexes_of_ours;
use crate::node::is_plain_select;

/// A query for one row of each group of a table.
pub(super) struct Query {
    /// The table.
    pub(super) rel: *mut pg_sys::RelOptInfo,
    /// What the rows of the result have.
    pub(super) target: *mut pg_sys::PathTarget,
    /// What groups are told apart by: expressions, and as an order.
    pub(super) exprs: *mut pg_sys::List,
    pub(super) groups: Vec<*mut pg_sys::PathKey>,
    /// Which row of a group is the first: the order behind that of the groups. With `DISTINCT ON`,
    /// and no order, it is any.
    pub(super) within: Vec<*mut pg_sys::PathKey>,
}

/// How an index has the rows of a query in groups.
pub(super) struct Grouped {
    /// How many of its first columns are the same in the rows of a group.
    pub(super) alike: i32,
    /// Those of them, from 0, that are not the same in all rows.
    pub(super) varying: Vec<i32>,
    /// The order of the rows.
    pub(super) pathkeys: *mut pg_sys::List,
}

impl Query {
    /// A query, if it is one.
    ///
    /// # Safety
    /// Called while the planner makes paths for the distinct rows of `input`.
    pub(super) unsafe fn of(
        root: *mut pg_sys::PlannerInfo,
        input: *mut pg_sys::RelOptInfo,
    ) -> Option<Query> {
        // SAFETY: by contract.
        unsafe {
            let (parse, rel) = (&*(*root).parse, &*input);
            let is_table = rel.reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL
                && rel.rtekind == pg_sys::RTEKind::RTE_RELATION
                && rel.lateral_relids.is_null()
                && !pg_sys::is_dummy_rel(input);
            if !is_table || !is_plain_select(root, parse) || !asks_for_distinct_rows(parse) {
                return None;
            }
            let entry = &**(*root).simple_rte_array.add(rel.relid as usize);
            if !entry.inh && indexes_of_ours(input).next().is_none() {
                return None;
            }
            let stage = pg_sys::UpperRelationKind::UPPERREL_DISTINCT as usize;
            let target = (*root).upper_targets[stage];
            // The core evaluates these for each row, also for those that are left behind here.
            let is_volatile =
                |list: *mut pg_sys::List| pg_sys::contain_volatile_functions(list.cast());
            if !entry.tablesample.is_null()
                || is_volatile((*target).exprs)
                || is_volatile(rel.baserestrictinfo)
            {
                return None;
            }
            let (groups, sorted) = (keys((*root).distinct_pathkeys), keys((*root).sort_pathkeys));
            let within = match parse.hasDistinctOn && sorted.len() > groups.len() {
                true => sorted.strip_prefix(&groups[..])?.to_vec(),
                false => Vec::new(),
            };
            (!groups.is_empty()).then(|| Query {
                rel: input,
                target,
                exprs: pg_sys::get_sortgrouplist_exprs(
                    parse.distinctClause,
                    (*root).processed_tlist,
                ),
                groups,
                within,
            })
        }
    }

    /// Whether partitions or children have rows of the table.
    ///
    /// # Safety
    /// Called while the planner makes paths for this query.
    pub(super) unsafe fn has_children(&self, root: *mut pg_sys::PlannerInfo) -> bool {
        // SAFETY: by contract.
        unsafe { (**(*root).simple_rte_array.add((*self.rel).relid as usize)).inh }
    }

    /// How an index that is read in a direction has the rows in groups. `None` if it has not, or if
    /// the first row that it has of a group is not the one that is asked for.
    ///
    /// # Safety
    /// Called while the planner makes paths for this query; the index is one of a table that has
    /// rows of it.
    pub(super) unsafe fn grouped_by(
        &self,
        root: *mut pg_sys::PlannerInfo,
        index: *mut pg_sys::IndexOptInfo,
        direction: pg_sys::ScanDirection::Type,
    ) -> Option<Grouped> {
        let count = self.groups.len();
        // SAFETY: by contract. The core reads of the copy what it reads of an index.
        unsafe {
            let order_of = |columns: i32| {
                let mut front = *index;
                front.nkeycolumns = columns;
                pg_sys::build_index_pathkeys(root, &mut front, direction)
            };
            // Columns that are bound to one value, or to the value of another, add nothing.
            let (mut alike, mut own, mut varying) = (0, Vec::new(), Vec::new());
            while own.len() < count && alike < (*index).nkeycolumns {
                let longer = keys(order_of(alike + 1));
                if longer.len() > own.len() {
                    varying.push(alike);
                }
                (alike, own) = (alike + 1, longer);
            }
            // In whichever order, and whichever way: the core sorts what is left.
            let is_told = |key: &*mut pg_sys::PathKey| {
                own.iter().any(|own| (**own).pk_eclass == (**key).pk_eclass)
            };
            let pathkeys = order_of((*index).nkeycolumns);
            let is_first = keys(pathkeys).get(count..)?.starts_with(&self.within);
            let is_grouped = own.len() == count && self.groups.iter().all(is_told);
            (is_grouped && is_first).then_some(Grouped { alike, varying, pathkeys })
        }
    }
}

/// Whether a query asks for distinct rows of a table, and not for aggregates of them.
///
/// # Safety
/// Called while the planner makes paths for this query.
unsafe fn asks_for_distinct_rows(parse: &pg_sys::Query) -> bool {
    // SAFETY: by contract.
    let is_sortable = || unsafe { pg_sys::grouping_is_sortable(parse.distinctClause) };
    !parse.distinctClause.is_null()
        && !parse.hasAggs
        && !parse.hasWindowFuncs
        && parse.groupClause.is_null()
        && parse.havingQual.is_null()
        && is_sortable()
}

/// The keys of an order. The planner has each of them once.
///
/// # Safety
/// It is a list of path keys.
unsafe fn keys(order: *mut pg_sys::List) -> Vec<*mut pg_sys::PathKey> {
    // SAFETY: by contract.
    unsafe { PgList::<pg_sys::PathKey>::from_pg(order) }.iter_ptr().collect()
}
