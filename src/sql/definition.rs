//! The statements that put a learned index in the place of a B-tree.

use std::ffi::CStr;

use pgrx::prelude::*;

use crate::relation::OpenIndex;

/// The statements that create a learned index like an open B-tree, drop that, and give its name to
/// the new one. `None` if the core writes its definition in a way that is not known here.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn statements(index: OpenIndex, table: &str) -> Option<Vec<String>> {
    // SAFETY: by contract; what the core gives are C strings.
    unsafe {
        let text = |text: *const std::ffi::c_char| CStr::from_ptr(text).to_string_lossy();
        let name = index.class().relname.data.as_ptr();
        let quoted = text(pg_sys::quote_identifier(name)).into_owned();
        let definition = text(pg_sys::pg_get_indexdef_string(index.oid()));
        let unique = if index.definition().indisunique { "UNIQUE " } else { "" };
        let head = format!("CREATE {unique}INDEX {quoted} ON {table} USING btree ");
        let columns = without_options(definition.strip_prefix(&head)?);
        let schema = index.class().relnamespace;
        let new =
            pg_sys::ChooseRelationName(name, std::ptr::null(), c"learned".as_ptr(), schema, false);
        let new_name = text(pg_sys::quote_identifier(new)).into_owned();
        let new = text(pg_sys::quote_qualified_identifier(
            pg_sys::get_namespace_name_or_temp(schema),
            new,
        ))
        .into_owned();
        Some(vec![
            format!(
                "CREATE {unique}INDEX CONCURRENTLY {new_name} ON {table} USING learned {columns}"
            ),
            format!("DROP INDEX CONCURRENTLY {}", index.qualified_name()),
            format!("ALTER INDEX {new} RENAME TO {quoted}"),
        ])
    }
}

/// A definition from its columns on, without `WITH (...)`: the options are those of B-trees.
fn without_options(columns: &str) -> String {
    let (mut depth, mut quote) = (0u32, None);
    for (at, char) in columns.char_indices() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        if depth == 0 && quote.is_none() && columns[at..].starts_with(" WITH (") {
            // Up to the parenthesis that closes it, beyond which nothing is quoted any more.
            let rest = &columns[at + " WITH ".len()..];
            let end = closing(rest).map_or(rest.len(), |end| end + 1);
            return format!("{}{}", &columns[..at], &rest[end..]);
        }
    }
    columns.to_owned()
}

/// Where the parenthesis ends that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0u32, false);
    text.char_indices().find_map(|(at, char)| {
        match char {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn options_are_taken_out_of_a_definition_and_nothing_else() {
        for (definition, expected) in [
            ("(k)", "(k)"),
            ("(k) WITH (fillfactor='70')", "(k)"),
            ("(k) WITH (a='(''x') WHERE (k > 1)", "(k) WHERE (k > 1)"),
            (
                "(k DESC) INCLUDE (v) NULLS NOT DISTINCT WITH (a='1', b=off) TABLESPACE t",
                "(k DESC) INCLUDE (v) NULLS NOT DISTINCT TABLESPACE t",
            ),
            (
                "(f(' WITH ('::text), \" WITH (\") WHERE (a = ' WITH (x)'::text)",
                "(f(' WITH ('::text), \" WITH (\") WHERE (a = ' WITH (x)'::text)",
            ),
        ] {
            assert_eq!(without_options(definition), expected);
        }
    }
}
