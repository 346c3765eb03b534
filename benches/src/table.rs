//! A table of (k, value) in the server, with the indexes that are compared on it.

use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use server_tests::Script;

use crate::Result;

/// Probes of each table.
pub const PROBES: u64 = 100_000;

/// A loaded table. Its indexes are named after their access methods: `t_btree`, `t_learned`.
pub struct Table {
    /// In SQL.
    pub name: String,
    /// As the report names it.
    pub data: String,
    /// Rows that it was loaded with.
    pub rows: u64,
}

impl<'a> From<&'a Table> for (&'a str, u64) {
    fn from(table: &'a Table) -> Self {
        (&table.data, table.rows)
    }
}

impl Table {
    /// Creates the table and loads these keys in their order; the value is the row's number.
    pub fn load(client: &mut Client, name: &str, data: &str, keys: &[i64]) -> Result<Self> {
        // Rows that come with their table can be frozen at once.
        client.batch_execute(&format!(
            "BEGIN; CREATE TABLE {name} (k int8 NOT NULL, value int8 NOT NULL)"
        ))?;
        copy_with(client, name, keys, "FORMAT binary, FREEZE")?;
        client.batch_execute("COMMIT")?;
        let table = Self { name: name.to_owned(), data: data.to_owned(), rows: keys.len() as u64 };
        table.vacuum(client)?;
        Ok(table)
    }

    /// Makes all pages all-visible, which index-only scans need, and checks that they are.
    pub fn vacuum(&self, client: &mut Client) -> Result<()> {
        let name = &self.name;
        client.batch_execute(&format!("VACUUM (FREEZE, ANALYZE) {name}"))?;
        // COPY may leave pages at the end that no row is in.
        let hidden = format!(
            "SELECT blkno FROM pg_visibility_map('{name}') v, LATERAL (SELECT FROM {name}
                WHERE ctid >= format('(%s,0)', blkno)::tid
                    AND ctid < format('(%s,0)', blkno + 1)::tid LIMIT 1) row
            WHERE NOT all_visible LIMIT 1"
        );
        match client.query_opt(&hidden, &[])? {
            Some(row) => Err(format!("page {} of {name} is hidden", row.get::<_, i64>(0)).into()),
            None => Ok(()),
        }
    }

    /// Adds `t_probes`, random keys of the table in random order, and `t_tids`, their rows' places.
    pub fn add_probes(&self, client: &mut Client) -> Result<()> {
        let Self { name, rows, .. } = self;
        // Somewhat more than needed, since the sample's size varies.
        let percent = (120.0 * PROBES as f64 / *rows as f64).min(100.0);
        client.script(&format!(
            "SELECT setseed(0.5);
            CREATE TABLE {name}_probes AS SELECT k FROM {name}
                TABLESAMPLE bernoulli ({percent}) REPEATABLE (1) ORDER BY random() LIMIT {PROBES};
            CREATE TABLE {name}_tids AS SELECT t.ctid AS tid FROM {name}_probes p JOIN {name} t
                USING (k) ORDER BY random();
            VACUUM (FREEZE, ANALYZE) {name}_probes; VACUUM (FREEZE, ANALYZE) {name}_tids"
        ))?;
        Ok(())
    }

    /// Adds `t_ranges (rows, low, high)`: from `low` to below `high` there are that many rows, or
    /// about so where keys repeat. Ranges of one size have 200,000 rows together; at most 2,000.
    pub fn add_ranges(&self, client: &mut Client, keys: &[i64], sizes: &[u64]) -> Result<()> {
        let name = &self.name;
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        client.batch_execute(&format!(
            "CREATE TABLE {name}_ranges (rows int8, low int8, high int8)"
        ))?;
        let insert = client.prepare(&format!("INSERT INTO {name}_ranges VALUES ($1, $2, $3)"))?;
        let mut transaction = client.transaction()?;
        for rows in sizes {
            // Spread over the table by the golden ratio, in no order.
            let places = (self.rows - rows).max(1) as f64;
            for i in 1..=(200_000 / rows).clamp(1, 2_000) {
                let first = ((i as f64 * 0.618_033_988_75).fract() * places) as usize;
                let (low, high) =
                    (sorted[first], sorted[(first + *rows as usize).min(sorted.len() - 1)]);
                transaction.execute(&insert, &[&(*rows as i64), &low, &high])?;
            }
        }
        transaction.commit()?;
        client.batch_execute(&format!("VACUUM (FREEZE, ANALYZE) {name}_ranges"))?;
        Ok(())
    }

    /// The full name of an index: the short one is that of the access method, or of a variant.
    pub fn index(&self, short: &str) -> String {
        format!("{}_{short}", self.name)
    }

    /// Builds its index of an access method anew.
    pub fn build(&self, client: &mut Client, method: &str) -> Result<()> {
        self.build_as(client, method, method, "")
    }

    /// Builds an index of a short name of its own anew, with options such as `fillfactor = 10`.
    pub fn build_as(
        &self,
        client: &mut Client,
        short: &str,
        method: &str,
        options: &str,
    ) -> Result<()> {
        let with = if options.is_empty() { String::new() } else { format!(" WITH ({options})") };
        let (name, index) = (&self.name, self.index(short));
        client.script(&format!(
            "DROP INDEX IF EXISTS {index}; CREATE INDEX {index} ON {name} USING {method} (k){with}"
        ))?;
        Ok(())
    }

    /// Lets the planner see only the index of this short name.
    ///
    /// A change of `pg_index` invalidates the cached index, and plans leave out invalid ones.
    pub fn show_only(&self, client: &mut Client, short: &str) -> Result<()> {
        let valid = "UPDATE pg_index SET indisvalid = NOT indisvalid
            WHERE indrelid = $1::text::regclass
                AND indisvalid <> (indexrelid = $2::text::regclass)";
        client.execute(valid, &[&self.name, &self.index(short)])?;
        Ok(())
    }

    /// Lets the planner see all indexes again.
    pub fn show_all(&self, client: &mut Client) -> Result<()> {
        let valid = "UPDATE pg_index SET indisvalid = true
            WHERE indrelid = $1::text::regclass AND NOT indisvalid";
        client.execute(valid, &[&self.name])?;
        Ok(())
    }

    /// Bytes of a relation for each row of the table.
    pub fn bytes_a_row(&self, client: &mut Client, relation: &str) -> Result<f64> {
        let size = "SELECT pg_relation_size($1::text::regclass)";
        let bytes: i64 = client.query_one(size, &[&relation])?.get(0);
        Ok(bytes as f64 / self.rows as f64)
    }

    /// Drops it with its probes.
    pub fn drop(self, client: &mut Client) -> Result<()> {
        let name = &self.name;
        client.batch_execute(&format!(
            "DROP TABLE IF EXISTS {name}, {name}_probes, {name}_tids, {name}_ranges"
        ))?;
        Ok(())
    }
}

/// Adds rows with these keys by COPY.
pub fn copy(client: &mut Client, table: &str, keys: &[i64]) -> Result<()> {
    copy_with(client, table, keys, "FORMAT binary")
}

fn copy_with(client: &mut Client, table: &str, keys: &[i64], options: &str) -> Result<()> {
    let writer = client.copy_in(&format!("COPY {table} FROM STDIN ({options})"))?;
    let mut writer = BinaryCopyInWriter::new(writer, &[Type::INT8, Type::INT8]);
    for (key, i) in keys.iter().zip(0i64..) {
        writer.write(&[key, &i])?;
    }
    writer.finish()?;
    Ok(())
}
