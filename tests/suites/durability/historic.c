/*
 * An output plugin that reads the table "c" as it was at each row that was inserted into "x".
 *
 * For each it writes: the key of the row, what the row itself says that there was, and what there is by no index, by
 * the index "c_b", by the index "c_k": of the key, then of all keys, the number of rows and the sum of their values.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_namespace.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

static void
read_by(LogicalDecodingContext *context, Relation table, Oid index, int keys, int64 key)
{
	ScanKeyData equal;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		count = 0,
				sum = 0;

	ScanKeyInit(&equal, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(key));
	scan = systable_beginscan(table, index, OidIsValid(index), NULL, keys, &equal);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		is_null;

		count++;
		sum += DatumGetInt64(heap_getattr(tuple, 2, RelationGetDescr(table), &is_null));
	}
	systable_endscan(scan);
	appendStringInfo(context->out, " " INT64_FORMAT "/" INT64_FORMAT, count, sum);
}

static void
change(LogicalDecodingContext *context, ReorderBufferTXN *transaction, Relation relation,
	   ReorderBufferChange *change)
{
	HeapTuple	tuple;
	Relation	table;
	Oid			indexes[3];
	int64		noted[5];

	if (strcmp(RelationGetRelationName(relation), "x") != 0 ||
		change->action != REORDER_BUFFER_CHANGE_INSERT)
		return;
#if PG_VERSION_NUM >= 170000
	tuple = change->data.tp.newtuple;
#else
	tuple = &change->data.tp.newtuple->tuple;
#endif
	for (int i = 0; i < 5; i++)
	{
		bool		is_null;

		noted[i] = DatumGetInt64(heap_getattr(tuple, i + 1, RelationGetDescr(relation), &is_null));
	}
	indexes[0] = InvalidOid;
	indexes[1] = get_relname_relid("c_b", PG_PUBLIC_NAMESPACE);
	indexes[2] = get_relname_relid("c_k", PG_PUBLIC_NAMESPACE);
	table = table_open(get_relname_relid("c", PG_PUBLIC_NAMESPACE), AccessShareLock);
	OutputPluginPrepareWrite(context, true);
	appendStringInfo(context->out, INT64_FORMAT ":", noted[0]);
	for (int all = 0; all < 2; all++)
	{
		appendStringInfo(context->out, " " INT64_FORMAT "/" INT64_FORMAT,
						 noted[1 + 2 * all], noted[2 + 2 * all]);
		for (int i = 0; i < 3; i++)
			read_by(context, table, indexes[i], all ? 0 : 1, noted[0]);
	}
	OutputPluginWrite(context, true);
	table_close(table, AccessShareLock);
}

static void
startup(LogicalDecodingContext *context, OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_TEXTUAL_OUTPUT;
}

static void
begin(LogicalDecodingContext *context, ReorderBufferTXN *transaction)
{
}

static void
commit(LogicalDecodingContext *context, ReorderBufferTXN *transaction, XLogRecPtr at)
{
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = startup;
	callbacks->begin_cb = begin;
	callbacks->change_cb = change;
	callbacks->commit_cb = commit;
}
