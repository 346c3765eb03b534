//! Throwaway PostgreSQL clusters: started as an unprivileged user on a Unix socket in a temporary
//! directory, stopped and deleted when dropped, also by a failing test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use postgres::{Client, NoTls};

const SETTINGS: &str = "
listen_addresses = ''
fsync = off
autovacuum = off
omendb_learned.enable_count = off
shared_buffers = 256MB
max_wal_size = 4GB
jit = off
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
log_min_messages = warning
statement_timeout = 300s
";

/// Statements that each run in a transaction of their own.
pub trait Script {
    /// Runs the statements of a script one by one, so that VACUUM may be among them. Semicolons
    /// only separate statements.
    ///
    /// # Errors
    /// The first statement's that fails.
    fn script(&mut self, statements: &str) -> Result<(), postgres::Error>;
}

impl Script for Client {
    fn script(&mut self, statements: &str) -> Result<(), postgres::Error> {
        statements.split(';').try_for_each(|statement| self.batch_execute(statement))
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// How a server is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// With a checkpoint.
    Clean,
    /// At once: the next start is a crash recovery.
    Crash,
    /// By SIGKILL for every process of it: not even locks and shared memory are tidied up.
    Kill,
}

/// A running (or stopped) cluster with the extension created in its database `postgres`.
pub struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
}

impl Cluster {
    /// A fresh cluster.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// A fresh cluster with further lines for its settings file.
    pub fn start_with(settings: &str) -> Self {
        let cluster = Self::bare(settings);
        if super::is_learned() {
            cluster.connect().batch_execute("CREATE EXTENSION omendb_learned").unwrap();
        }
        cluster
    }

    /// A fresh cluster without the extension.
    pub fn bare(settings: &str) -> Self {
        let cluster = Self::initialised(Self::directory(), settings);
        cluster.launch();
        cluster
    }

    /// A new data directory in an empty one, ready to be started.
    pub(super) fn initialised(cluster: Self, settings: &str) -> Self {
        let (data, template) = (cluster.data(), cluster.template());
        if template.exists() {
            copy_directory(&template, &data);
        } else {
            cluster.initialise();
            // In one step: other tests may do the same at this time.
            let own = template.with_extension(std::process::id().to_string());
            copy_directory(&data, &own);
            if fs::rename(&own, &template).is_err() {
                fs::remove_dir_all(&own).unwrap();
            }
        }
        cluster.add_settings(&format!("{SETTINGS}{settings}\n"));
        cluster
    }

    /// Where this PostgreSQL's first data directory is kept for all later ones, beside the tests'
    /// own program: to copy it takes a tenth of the time.
    fn template(&self) -> PathBuf {
        let program = fs::metadata(self.bin.join("postgres")).unwrap();
        let built = program.modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let name = format!("{}_{}", text(&self.bin).replace(['/', '.'], "_"), built.as_nanos());
        let kept = std::env::current_exe().unwrap().with_file_name("clusters");
        fs::create_dir_all(&kept).unwrap();
        kept.join(name)
    }

    /// Makes the data directory.
    fn initialise(&self) {
        let data = self.data();
        self.run(
            "initdb",
            &["--pgdata", text(&data), "--username", "postgres", "--auth", "trust", "--no-sync"],
            &["--locale", "C", "--encoding", "UTF8", "--no-instructions"],
        );
        // PostgreSQL 18 turns them on by default, and then notices damage before the index does.
        if fs::read_to_string(data.join("PG_VERSION")).unwrap().trim() == "18" {
            self.run("pg_checksums", &["--disable", "--pgdata", text(&data)], &[]);
        }
    }

    /// The start of every cluster: an empty directory that the server may write.
    pub(super) fn directory() -> Self {
        Self::directory_of(std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned()))
    }

    /// The same, for the binaries of another PostgreSQL.
    pub(super) fn directory_of(pg_config: String) -> Self {
        let bin = PathBuf::from(output(Command::new(pg_config).arg("--bindir")).trim());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("learned_{}_{number}", std::process::id()));
        create_for_server(&dir);
        Self { bin, dir }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Appends lines to the settings file, for the next start.
    pub fn add_settings(&self, settings: &str) {
        let path = self.data().join("postgresql.auto.conf");
        let mut whole = fs::read_to_string(&path).unwrap();
        whole.push_str(&format!("\nunix_socket_directories = '{}'\n{settings}\n", text(&self.dir)));
        fs::write(path, whole).unwrap();
    }

    /// Starts a stopped server again.
    pub fn launch(&self) {
        let log = self.data().join("server.log");
        self.run(
            "pg_ctl",
            &["--pgdata", text(&self.data()), "--log", text(&log), "--timeout", "120"],
            &["--wait", "--silent", "start"],
        );
    }

    /// Stops the server.
    pub fn stop(&self, how: Shutdown) {
        let mode = match how {
            Shutdown::Clean => "fast",
            Shutdown::Crash => "immediate",
            Shutdown::Kill => return self.kill(),
        };
        self.run(
            "pg_ctl",
            &["--pgdata", text(&self.data()), "--mode", mode],
            &["--silent", "stop"],
        );
    }

    /// Stops the server as told and starts it again.
    pub fn restart(&self, how: Shutdown) {
        self.stop(how);
        self.launch();
    }

    /// The directory of the server's programs.
    pub(super) fn bin(&self) -> &Path {
        &self.bin
    }

    /// The directory of the server's socket.
    pub(super) fn socket(&self) -> &Path {
        &self.dir
    }

    /// How another server connects to the database `postgres`.
    pub fn conninfo(&self) -> String {
        format!("host={} user=postgres dbname=postgres", text(&self.dir))
    }

    /// A new empty directory that the server may write.
    pub fn new_directory(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        create_for_server(&path);
        path
    }

    /// A connection to the database `postgres`.
    pub fn connect(&self) -> Client {
        self.connect_to("postgres")
    }

    /// A connection to the named database.
    pub fn connect_to(&self, database: &str) -> Client {
        postgres::Config::new()
            .host_path(&self.dir)
            .user("postgres")
            .dbname(database)
            .connect_timeout(Duration::from_secs(30))
            .connect(NoTls)
            .unwrap()
    }

    /// The server's log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.data().join("server.log")).unwrap_or_default()
    }

    /// The file that holds the first segment of a relation.
    pub fn file_of(&self, client: &mut Client, relation: &str) -> PathBuf {
        let path: String = client
            .query_one("SELECT pg_relation_filepath($1::text::regclass)", &[&relation])
            .unwrap()
            .get(0);
        self.data().join(path)
    }

    /// Makes a library that this server can load out of C.
    pub fn compile(&self, source: &str, library: &Path) {
        let headers = output(Command::new(self.bin.join("pg_config")).arg("--includedir-server"));
        let file = library.with_extension("c");
        fs::write(&file, source).unwrap();
        let flags = ["-shared", "-fPIC", "-I", headers.trim(), text(&file), "-o", text(library)];
        output(Command::new("cc").args(flags));
    }

    /// Runs one of the server's programs, which must succeed.
    pub fn run(&self, program: &str, arguments: &[&str], more: &[&str]) {
        output(&mut self.command(program, arguments, more));
    }

    /// What one of the client programs (`pgbench`) prints that connects to this cluster; it must
    /// succeed.
    pub fn client_program(&self, program: &str, arguments: &[&str]) -> String {
        let socket = ["--host", text(&self.dir), "--username", "postgres"];
        output(&mut self.command(program, &socket, arguments))
    }

    /// What one of the server's programs (`pg_waldump`) prints; it must succeed.
    pub fn program(&self, program: &str, arguments: &[&str]) -> String {
        output(&mut self.command(program, arguments, &[]))
    }

    fn command(&self, program: &str, arguments: &[&str], more: &[&str]) -> Command {
        let program = self.bin.join(program);
        let mut command = as_server(program);
        command.args(arguments).args(more).current_dir(&self.dir);
        // No error may show a backtrace, whatever the server's environment says.
        command.env("RUST_BACKTRACE", "full");
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(30).collect::<Vec<_>>();
            eprintln!("server log, newest first:\n{}", tail.join("\n"));
        }
        let data = self.data();
        let arguments = ["--pgdata", text(&data), "--mode", "immediate"];
        let _ = self.command("pg_ctl", &arguments, &["--silent", "stop"]).output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Makes a directory that the server may write.
pub(super) fn create_for_server(path: &Path) {
    fs::create_dir(path).unwrap();
    give_to_server(path);
}

/// Copies a directory with its owners and permissions.
fn copy_directory(from: &Path, to: &Path) {
    output(Command::new("cp").args(["--archive", "--reflink=auto"]).args([from, to]));
}

/// Makes the server's user own a directory.
pub(super) fn give_to_server(path: &Path) {
    if is_root() {
        output(Command::new("chown").arg("postgres").arg(path));
    }
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).trim() == "0"
}

/// A program, run as the server's user.
pub(super) fn as_server(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// What a command prints; it must succeed.
pub(super) fn output(command: &mut Command) -> String {
    // pg_ctl's server inherits the descriptors: waiting for a pipe to close would wait for it.
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        status.success(),
        "{command:?}: {status}\n{}\n{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).unwrap()
}
