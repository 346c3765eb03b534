//! Open relations: an index of ours, and its table.
//!
//! A callback makes them once, of the pointers that the core passes. After that their methods are
//! safe. [`options`] has the index's storage parameters.

pub(crate) mod options;
#[cfg(any(test, feature = "pg_test"))]
pub(crate) mod tests;

use std::ffi::CStr;
use std::ops::Deref;

use learned_index::corruption::Corruption;
use learned_index::entry::HeapTid;
use learned_index::page::{FORMAT_VERSION, PageBytes};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::report::memory::cover;
use crate::report::{raise, refuse};
use options::{Options, amoptions, is_monitored_at};

/// `InvalidSubTransactionId` of c.h.
const NO_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// A relation that is open, and locked as its use asks for, as long as this value and its copies
/// are used.
#[derive(Clone, Copy)]
pub(crate) struct OpenRelation(pg_sys::Relation);

/// An open learned index.
#[derive(Clone, Copy)]
pub(crate) struct OpenIndex(OpenRelation);

/// The open table of an index.
#[derive(Clone, Copy)]
pub(crate) struct OpenTable(OpenRelation);

impl Deref for OpenIndex {
    type Target = OpenRelation;

    #[inline]
    fn deref(&self) -> &OpenRelation {
        &self.0
    }
}

impl Deref for OpenTable {
    type Target = OpenRelation;

    #[inline]
    fn deref(&self) -> &OpenRelation {
        &self.0
    }
}

/// The file of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct File {
    pub(crate) tablespace: u32,
    pub(crate) database: u32,
    pub(crate) number: u32,
    /// The session of a temporary relation; -1 of all others.
    pub(crate) backend: i32,
}

impl OpenRelation {
    /// What functions of the core take.
    #[inline]
    pub(crate) fn raw(&self) -> pg_sys::Relation {
        self.0
    }

    #[inline]
    fn data(&self) -> &pg_sys::RelationData {
        // SAFETY: the caller of `new` has promised that the relation is open.
        unsafe { &*self.0 }
    }

    /// Its row of pg_class.
    #[inline]
    pub(crate) fn class(&self) -> &pg_sys::FormData_pg_class {
        // SAFETY: rd_rel of an open relation is valid.
        unsafe { &*self.data().rd_rel }
    }

    #[inline]
    pub(crate) fn oid(&self) -> pg_sys::Oid {
        self.data().rd_id
    }

    pub(crate) fn name(&self) -> String {
        // SAFETY: a name is a NameData, which ends with a NUL.
        let name = unsafe { CStr::from_ptr(self.class().relname.data.as_ptr()) };
        name.to_string_lossy().into_owned()
    }

    /// The name with its schema, quoted where SQL needs it; that of temporary ones is `pg_temp`.
    pub(crate) fn qualified_name(&self) -> String {
        let class = self.class();
        // SAFETY: within a transaction, as everything that has a relation open; the schema is null
        // if it is gone. What the core gives is a C string.
        unsafe {
            let schema = pg_sys::get_namespace_name_or_temp(class.relnamespace);
            let name = class.relname.data.as_ptr();
            let quoted = pg_sys::quote_qualified_identifier(schema, name);
            CStr::from_ptr(quoted).to_string_lossy().into_owned()
        }
    }

    #[inline]
    pub(crate) fn file(&self) -> File {
        let relation = self.data();
        #[cfg(feature = "pg15")]
        let (tablespace, database, number) =
            (relation.rd_node.spcNode, relation.rd_node.dbNode, relation.rd_node.relNode);
        #[cfg(not(feature = "pg15"))]
        let (tablespace, database, number) =
            (relation.rd_locator.spcOid, relation.rd_locator.dbOid, relation.rd_locator.relNumber);
        File {
            tablespace: tablespace.to_u32(),
            database: database.to_u32(),
            number: u32::from(number),
            backend: relation.rd_backend,
        }
    }

    #[inline]
    fn persistence(&self) -> u8 {
        self.class().relpersistence as u8
    }

    #[inline]
    pub(crate) fn is_temporary(&self) -> bool {
        self.persistence() == pg_sys::RELPERSISTENCE_TEMP
    }

    /// Whether it is a temporary one that another session has made.
    pub(crate) fn is_temporary_elsewhere(&self) -> bool {
        self.is_temporary() && !self.data().rd_islocaltemp
    }

    /// Whether its pages are not logged, so that a standby does not have them.
    pub(crate) fn is_unlogged(&self) -> bool {
        self.persistence() == pg_sys::RELPERSISTENCE_UNLOGGED
    }

    /// Whether this transaction has made its file.
    fn has_new_file(&self) -> bool {
        let relation = self.data();
        #[cfg(feature = "pg15")]
        let first = relation.rd_firstRelfilenodeSubid;
        #[cfg(not(feature = "pg15"))]
        let first = relation.rd_firstRelfilelocatorSubid;
        relation.rd_createSubid != NO_SUBTRANSACTION || first != NO_SUBTRANSACTION
    }

    /// Whether no other session can see it: it is temporary, or this transaction made it.
    pub(crate) fn is_private(&self) -> bool {
        self.is_temporary() || self.has_new_file()
    }

    /// Whether its changes are logged: `RelationNeedsWAL` of rel.h.
    pub(crate) fn needs_wal(&self) -> bool {
        // SAFETY: a setting of this process.
        let always = unsafe { pg_sys::wal_level } >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32;
        self.persistence() == pg_sys::RELPERSISTENCE_PERMANENT && (always || !self.has_new_file())
    }
}

impl OpenIndex {
    /// # Safety
    /// `relation` is an index of this access method, open and locked as said of [`OpenRelation`].
    #[inline]
    pub(crate) unsafe fn new(relation: pg_sys::Relation) -> OpenIndex {
        cover();
        OpenIndex(OpenRelation(relation))
    }

    /// An open relation, if it is an index of this access method.
    ///
    /// # Safety
    /// `relation` is open and locked as said of [`OpenRelation`].
    pub(crate) unsafe fn of_relation(relation: pg_sys::Relation) -> Option<OpenIndex> {
        let ours = amoptions as unsafe extern "C-unwind" fn(_, _) -> _;
        let open = OpenRelation(relation);
        // SAFETY: rd_indam of an open relation is valid or null.
        let method = unsafe { open.data().rd_indam.as_ref() };
        let is_ours = open.class().relkind as u8 == pg_sys::RELKIND_INDEX
            && method
                .and_then(|method| method.amoptions)
                .is_some_and(|options| std::ptr::fn_addr_eq(options, ours));
        is_ours.then_some(OpenIndex(open))
    }

    /// An index of another method, for asking whether one of this method could have its columns.
    /// Its options are not for us to read.
    ///
    /// # Safety
    /// `relation` is an ordered index, open and locked as said of [`OpenRelation`].
    pub(crate) unsafe fn of_other_method(relation: pg_sys::Relation) -> OpenIndex {
        OpenIndex(OpenRelation(relation))
    }

    /// How its tuples are made of values, for functions of the core.
    pub(crate) fn tuple_descriptor(&self) -> pg_sys::TupleDesc {
        self.data().rd_att
    }

    /// Its row of pg_index.
    pub(crate) fn definition(&self) -> &pg_sys::FormData_pg_index {
        // SAFETY: rd_index of an open index is valid.
        unsafe { &*self.data().rd_index }
    }

    /// That row as a tuple.
    pub(crate) fn definition_tuple(&self) -> &pg_sys::HeapTupleData {
        // SAFETY: rd_indextuple of an open index is valid.
        unsafe { &*self.data().rd_indextuple }
    }

    /// Whether it takes inserts: not while its pages are being built by CREATE INDEX or REINDEX
    /// CONCURRENTLY, nor after that has failed.
    pub(crate) fn is_ready(&self) -> bool {
        self.definition().indisready
    }

    /// Whether this transaction has created it, and not only its file.
    #[cfg(not(feature = "pg18"))]
    pub(crate) fn is_created_here(&self) -> bool {
        self.data().rd_createSubid != NO_SUBTRANSACTION
    }

    /// Number of its key columns.
    #[inline]
    pub(crate) fn key_columns(&self) -> usize {
        usize::from(self.definition().indnkeyatts as u16)
    }

    /// Whether it stores columns beside its key.
    #[inline]
    pub(crate) fn has_included_columns(&self) -> bool {
        self.definition().indnatts > self.definition().indnkeyatts
    }

    /// The columns that it stores beside its key.
    pub(crate) fn included_columns(&self) -> impl Iterator<Item = &pg_sys::FormData_pg_attribute> {
        self.stored_columns().skip(self.key_columns())
    }

    /// All of its columns, as they would be in index tuples.
    pub(crate) fn stored_columns(&self) -> impl Iterator<Item = &pg_sys::FormData_pg_attribute> {
        let columns = 0..usize::from(self.definition().indnatts as u16);
        // SAFETY: an open index has a description of as many columns.
        columns.map(|column| unsafe { self.attribute(column) })
    }

    /// # Safety
    /// The index has the column, from 0.
    unsafe fn attribute(&self, column: usize) -> &pg_sys::FormData_pg_attribute {
        let description = self.data().rd_att;
        // SAFETY: by contract.
        unsafe {
            #[cfg(feature = "pg18")]
            let attribute = pg_sys::TupleDescAttr(description, column as i32);
            #[cfg(not(feature = "pg18"))]
            let attribute = (*description).attrs.as_ptr().add(column);
            &*attribute
        }
    }

    /// The type modifier of a key column, from 0; of a domain that of its base type.
    pub(crate) fn type_modifier(&self, column: usize) -> i32 {
        // SAFETY: an open index has a description of its key columns.
        let attribute = unsafe { self.attribute(column) };
        let mut modifier = attribute.atttypmod;
        if attribute.atttypid != self.key_types()[column] {
            // SAFETY: the type exists.
            unsafe { pg_sys::getBaseTypeAndTypmod(attribute.atttypid, &mut modifier) };
        }
        modifier
    }

    /// Its first page; `None` if it has no pages yet.
    pub(crate) fn metapage(&self) -> Option<PageBytes> {
        let main = pg_sys::ForkNumber::MAIN_FORKNUM;
        // SAFETY: the index is open. The page is read under its lock, which nothing else asks for
        // while a callback finds out about columns.
        unsafe {
            if pg_sys::RelationGetNumberOfBlocksInFork(self.raw(), main) == 0 {
                return None;
            }
            let buffer = pg_sys::ReadBuffer(self.raw(), 0);
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let page = *pg_sys::BufferGetBlock(buffer).cast::<PageBytes>();
            pg_sys::UnlockReleaseBuffer(buffer);
            Some(page)
        }
    }

    /// A number that is found out once and kept with the index, until the core forgets what it
    /// knows of it: whenever something of it changes, its file too.
    pub(crate) fn kept(&self, find: impl FnOnce() -> Option<u8>) -> Option<u8> {
        // SAFETY: rd_amcache of an open index of ours is null, or what was put there here: one
        // chunk of memory in rd_indexcxt, which the core frees. Nothing below `find` keeps it.
        unsafe {
            let known = self.data().rd_amcache.cast::<u8>();
            if !known.is_null() {
                return Some(*known);
            }
            let found = find()?;
            if self.data().rd_amcache.is_null() {
                let place = pg_sys::MemoryContextAlloc(self.data().rd_indexcxt, size_of::<u8>());
                *place.cast::<u8>() = found;
                (*self.raw()).rd_amcache = place;
            }
            Some(found)
        }
    }

    /// The types of its key columns, as their operator classes have them.
    #[inline]
    pub(crate) fn key_types(&self) -> &[pg_sys::Oid] {
        // SAFETY: an open index has an operator class, and its input type, for each key column.
        unsafe { std::slice::from_raw_parts(self.data().rd_opcintype, self.key_columns()) }
    }

    /// The type of a key column, from 0, and the comparison function of its operator class.
    pub(crate) fn column_order(&self, column: usize) -> (pg_sys::Oid, pg_sys::Oid) {
        let number = column as pg_sys::AttrNumber + 1;
        // SAFETY: an open index has support functions for each key column.
        let compare = unsafe { pg_sys::index_getprocid(self.raw(), number, 1) };
        (self.key_types()[column], compare)
    }

    /// The column of the table that a column of the index, from 0, is; 0: it is an expression.
    pub(crate) fn table_column(&self, column: usize) -> pg_sys::AttrNumber {
        let columns = usize::from(self.definition().indnatts as u16);
        // SAFETY: an open index tells of each of its columns.
        unsafe { self.definition().indkey.values.as_slice(columns)[column] }
    }

    /// `INDOPTION_` bits of a key column, from 0.
    pub(crate) fn column_options(&self, column: usize) -> u32 {
        // SAFETY: an ordered index has an option for each key column.
        let options =
            unsafe { std::slice::from_raw_parts(self.data().rd_indoption, self.key_columns()) };
        options[column] as u32
    }

    /// Its storage parameters.
    pub(crate) fn options(&self) -> Options {
        // SAFETY: they are null, or were made by `amoptions` of this index's access method.
        unsafe { Options::stored_at(self.data().rd_options) }
    }

    /// Whether it is counted what sessions do with it.
    #[inline]
    pub(crate) fn is_monitored(&self) -> bool {
        // SAFETY: as in `options`.
        unsafe { is_monitored_at(self.data().rd_options) }
    }

    /// Raises the error of a page that cannot be what this version of the extension wrote. It
    /// unwinds: destructors run, and the abort of the transaction releases page locks, pins and the
    /// exclusion.
    pub(crate) fn raise_corruption(&self, corruption: Corruption) -> ! {
        raise(self.corruption_report(corruption))
    }

    /// What is said of a page that cannot be what this version of the extension wrote.
    pub(crate) fn corruption_report(&self, corruption: Corruption) -> ErrorReport {
        let name = self.name();
        let (code, message, hint) = if let Some(found) = corruption.version() {
            (
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!(
                    "index \"{name}\" has format {found}; this version of omendb_learned reads \
                     {FORMAT_VERSION}"
                ),
                "REINDEX it, or install the version that wrote it.",
            )
        } else {
            let place =
                corruption.block().map_or(String::new(), |block| format!(" at block {block}"));
            (
                PgSqlErrorCode::ERRCODE_INDEX_CORRUPTED,
                format!("index \"{name}\" is corrupted{place}: {corruption}"),
                "Please REINDEX it.",
            )
        };
        ErrorReport::new(code, message, "learned").set_hint(hint)
    }

    /// Raises the error that a row of the table is not in the index.
    pub(crate) fn raise_missing_row(&self, table: OpenTable, tid: HeapTid) -> ! {
        let (index, table) = (self.name(), table.name());
        let place = format!("({},{})", tid.block(), tid.offset());
        refuse(
            PgSqlErrorCode::ERRCODE_INDEX_CORRUPTED,
            format!(
                "index \"{index}\" is corrupted: expected an entry for row {place} of table \
                 \"{table}\", found none"
            ),
            "Please REINDEX it.",
        )
    }
}

impl OpenTable {
    /// # Safety
    /// `relation` is a table, not null, open and locked as said of [`OpenRelation`].
    #[inline]
    pub(crate) unsafe fn new(relation: pg_sys::Relation) -> OpenTable {
        OpenTable(OpenRelation(relation))
    }

    /// The functions of its access method.
    #[inline]
    pub(crate) fn method(&self) -> &pg_sys::TableAmRoutine {
        // SAFETY: every table that an index can be on has them.
        unsafe { &*self.data().rd_tableam }
    }

    /// Whether logical decoding looks rows of the table up: `RelationIsAccessibleInLogicalDecoding`
    /// of rel.h.
    #[cfg(not(feature = "pg15"))]
    pub(crate) fn is_decoded_with(&self) -> bool {
        // SAFETY: wal_level is a setting of this process. The options of a plain table are
        // StdRdOptions.
        unsafe {
            let logical = pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_LOGICAL as i32;
            let kind = self.class().relkind as u8;
            let options = self.data().rd_options.cast::<pg_sys::StdRdOptions>();
            let user_catalog = matches!(kind, pg_sys::RELKIND_RELATION | pg_sys::RELKIND_MATVIEW)
                && options.as_ref().is_some_and(|options| options.user_catalog_table);
            logical && self.needs_wal() && (pg_sys::IsCatalogRelation(self.raw()) || user_catalog)
        }
    }
}
