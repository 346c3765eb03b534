//! The pages of documentation: every statement that they show works, and prints what they show.
//!
//! A page is one psql session in a database of its own. A block of `sql` is run as it stands. A
//! block without a language right behind it shows what it prints, in part, or the error that it
//! ends with. What a reader takes for granted, such as a table with rows, stands in a comment that
//! begins with `<!-- sql`. A block with `-- from PostgreSQL N on` is left out before.

use std::fs;
use std::path::{Path, PathBuf};

use postgres::Client;
use server_tests::{Cluster, is_learned, major_version};

/// A block of a page, with the number of its first line.
struct Block<'a> {
    line: usize,
    sql: String,
    /// What the page shows of its output.
    shown: Vec<&'a str>,
}

impl Block<'_> {
    fn oldest_version(&self) -> i32 {
        self.sql.split_once("-- from PostgreSQL ").map_or(0, |(_, rest)| {
            rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap()
        })
    }

    /// The error that the block ends with, as the page shows it.
    fn error(&self) -> Option<&str> {
        self.shown.first()?.strip_prefix("ERROR:  ")
    }
}

/// The statements of a page.
fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found: Vec<Block<'_>> = Vec::new();
    let mut lines = page.lines().enumerate();
    // The line behind the last block, where the block of its output begins.
    let mut behind = 0;
    while let Some((number, line)) = lines.next() {
        let end = match line {
            "```sql" | "```" => "```",
            "<!-- sql" => "-->",
            _ if line.starts_with("```") => "```",
            _ => continue,
        };
        let inside: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != end).collect();
        let last = number + inside.len() + 2;
        match line {
            "```sql" | "<!-- sql" => {
                found.push(Block { line: number + 1, sql: inside.join("\n"), shown: Vec::new() });
                behind = last;
            }
            "```" if number == behind => {
                if let Some(block) = found.last_mut() {
                    block.shown = inside;
                }
            }
            _ => (),
        }
    }
    found
}

/// What psql is to run: each block with a line before it and one behind it, by which its output is
/// found.
fn script(blocks: &[Block<'_>], version: i32) -> String {
    let mut script = String::from("\\set ON_ERROR_STOP on\n");
    for block in blocks.iter().filter(|block| block.oldest_version() <= version) {
        script.push_str(&format!("\\echo <{}>\n", block.line));
        if block.error().is_some() {
            script.push_str("\\unset LAST_ERROR_MESSAGE\n\\set ON_ERROR_STOP off\n");
        }
        script.push_str(&block.sql);
        script.push('\n');
        if block.error().is_some() {
            script.push_str("\\echo 'ERROR: ' :LAST_ERROR_MESSAGE\n\\set ON_ERROR_STOP on\n");
        }
        script.push_str(&format!("\\echo </{}>\n", block.line));
    }
    script
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.push(root.join("README.md"));
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages
}

/// Runs the statements of a page in a database, and compares what they print with what the page
/// shows.
fn run(cluster: &Cluster, path: &Path, database: &str, version: i32) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let page = fs::read_to_string(path).unwrap();
    let blocks = blocks(&page);
    let file = cluster.new_directory(database).join("page.sql");
    fs::write(&file, script(&blocks, version)).unwrap();
    let arguments = ["--no-psqlrc", "--dbname", database, "--file", file.to_str().unwrap()];
    let printed = cluster.client_program("psql", &arguments);
    for block in blocks.iter().filter(|block| block.oldest_version() <= version) {
        let (begin, end) = (format!("<{}>\n", block.line), format!("</{}>", block.line));
        let output = printed.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
        let output: Vec<&str> = output.unwrap().0.lines().map(str::trim).collect();
        for line in block.shown.iter().take(if block.error().is_some() { 1 } else { usize::MAX }) {
            assert!(
                line.contains("...") || output.contains(&line.trim()),
                "{name}, line {}: not printed: {line}\nbut:\n{}",
                block.line,
                output.join("\n")
            );
        }
    }
}

/// An extension that a page creates and this PostgreSQL does not have: one that was built from
/// source may lack those of contrib.
fn missing_extension<'a>(client: &mut Client, page: &'a str) -> Option<&'a str> {
    let available = "SELECT count(*) FROM pg_available_extensions WHERE name = $1";
    let named = page
        .split("CREATE EXTENSION ")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap());
    // Words of prose may follow too; they are in lower case and no extension's name.
    named
        .filter(|name| name.contains('_'))
        .find(|name| client.query_one(available, &[name]).unwrap().get::<_, i64>(0) == 0)
}

#[test]
fn every_statement_of_every_page_works() {
    if !is_learned() {
        return println!("skipped: the pages are about learned indexes");
    }
    // As a user has it, but for what costs time.
    let cluster = Cluster::bare(
        "omendb_learned.enable_count = on\nautovacuum = on\nwal_level = logical\ntimezone = 'UTC'",
    );
    let mut client = cluster.connect();
    let version = major_version(&mut client);
    let mut with_sql = 0;
    for (number, path) in pages().iter().enumerate() {
        let page = fs::read_to_string(path).unwrap();
        if blocks(&page).is_empty() {
            continue;
        }
        with_sql += 1;
        if let Some(extension) = missing_extension(&mut client, &page) {
            println!("skipped: {}: there is no {extension} here", path.display());
            continue;
        }
        let database = format!("page_{number}");
        client.batch_execute(&format!("CREATE DATABASE {database}")).unwrap();
        run(&cluster, path, &database, version);
    }
    assert!(with_sql > 10, "{with_sql} pages with SQL");
}
