/*
 * For scripts/core_regress: CREATE INDEX without USING, or with USING btree, makes a learned index
 * where one can hold these columns. Loaded into every session of a server for tests.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_utilcmd.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static bool unique_too = false;
static bool constraints_too = false;
static ProcessUtility_hook_type utility_before = NULL;

/* Whether the column of an index, or the one that it includes, fits. */
static bool
fits(Oid table, IndexElem *column, Oid method, bool included)
{
	Oid			type;

	if (column->collation != NIL || column->opclassopts != NIL)
		return false;
	if (column->expr != NULL)
		type = exprType(column->expr);
	else
	{
		AttrNumber	number = get_attnum(table, column->name);

		if (number <= 0)
			return false;
		type = get_atttype(table, number);
	}
	/* Of these, the tests have values or precisions that learned indexes refuse. */
	if (type == NUMERICOID || type == INETOID || type == CIDROID || type == INTERVALOID)
		return false;
	if (included)
		return get_typlen(type) > 0 && get_typlen(type) <= 16;
	if (column->opclass != NIL)
		return OidIsValid(get_opclass_oid(method, column->opclass, true));
	return OidIsValid(GetDefaultOpClass(type, method));
}

static bool
can_be_learned(IndexStmt *statement, const char *text, Oid method)
{
	Oid			table;
	ListCell   *cell;

	if (strcmp(statement->accessMethod, "btree") != 0)
		return false;
	if (statement->unique && !(statement->isconstraint ? constraints_too : unique_too))
		return false;
	foreach(cell, statement->options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, "fillfactor") != 0)
			return false;
	table = RangeVarGetRelid(statement->relation, AccessShareLock, true);
	if (!OidIsValid(table) || list_length(statement->indexParams) > 8)
		return false;
	if (PG_VERSION_NUM < 180000 && statement->unique
		&& get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE)
		return false;
	/* Expressions have a type when they are transformed. */
	foreach(cell, statement->indexParams)
		if (lfirst_node(IndexElem, cell)->expr != NULL && !statement->transformed)
		{
			statement = transformIndexStmt(table, copyObject(statement), text);
			break;
		}
	foreach(cell, statement->indexParams)
		if (!fits(table, lfirst_node(IndexElem, cell), method, false))
			return false;
	foreach(cell, statement->indexIncludingParams)
		if (!fits(table, lfirst_node(IndexElem, cell), method, true))
			return false;
	return true;
}

static void
utility(PlannedStmt *planned, const char *text, bool read_only, ProcessUtilityContext context,
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		QueryCompletion *completion)
{
	if (IsA(planned->utilityStmt, IndexStmt))
	{
		Oid			method = get_am_oid("learned", true);

		if (OidIsValid(method)
			&& can_be_learned((IndexStmt *) planned->utilityStmt, text, method))
		{
			planned = copyObject(planned);
			((IndexStmt *) planned->utilityStmt)->accessMethod = pstrdup("learned");
		}
	}
	(utility_before ? utility_before : standard_ProcessUtility)
		(planned, text, read_only, context, params, environment, dest, completion);
}

void
_PG_init(void)
{
	DefineCustomBoolVariable("learned_by_default.unique", "Unique indexes too.", NULL,
							 &unique_too, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("learned_by_default.constraints", "Unique constraints too.", NULL,
							 &constraints_too, false, PGC_SUSET, 0, NULL, NULL, NULL);
	utility_before = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
