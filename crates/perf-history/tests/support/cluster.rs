//! A PostgreSQL server of our own, as long as this process lives.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};

use perf_history::Location;
use postgres::{Client, NoTls};

/// Makes a cluster in the folder `$1` with the programs in `$2`, says so, and ends it when its input ends: the kernel
/// closes that however we end. PostgreSQL refuses to run as root, so it then runs as the user `postgres`. It
/// listens on port `$3`; more settings come from `$4`. Whatever the server has on its disk is worth nothing after the test, so nothing is flushed.
const KEEPER: &str = r#"
folder=$1 bin=$2 port=$3 settings=$4
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
    chown -R postgres "$folder" || exit 1
fi
cd "$folder" || exit 1
fail() { tail -n 20 log; rm -rf "$folder"; exit 1; }
as "$bin/initdb" -D "$folder/data" -U tester --auth=trust --encoding=UTF8 --no-locale --no-sync >log 2>&1 </dev/null || fail
as "$bin/postgres" -D "$folder/data" -k "$folder" -p "$port" -c fsync=off $settings >log 2>&1 </dev/null &
until as "$bin/pg_isready" -q -h "$folder" -p "$port"; do
    kill -0 $! 2>/dev/null || fail
    sleep 0.1
done
echo ready
cat >/dev/null
as "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1
wait
rm -rf "$folder"
"#;

/// A running server.
pub(crate) struct Cluster {
    pub(crate) folder: PathBuf,
    port: u16,
    /// Ends the server when its input is closed, which happens when we end.
    keeper: Child,
}

impl Cluster {
    /// The one of this test binary.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Cluster> =
            LazyLock::new(|| Cluster::start(5432, "-c listen_addresses=", &[]));
        &SHARED
    }

    /// Starts one with these settings; the files lie in its folder and are readable for it.
    pub(crate) fn start(port: u16, settings: &str, files: &[(&str, &str)]) -> Self {
        let bin = programs();
        let folder = tempfile::tempdir().expect("a folder").keep();
        for (name, contents) in files {
            let path = folder.join(name);
            std::fs::write(&path, contents).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("they are set");
        }
        let settings = settings.replace("FOLDER", &folder.display().to_string());
        // In a group of its own, so that what interrupts the tests leaves it to clean up.
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args([&folder, &bin])
            .args([port.to_string(), settings])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut lines =
            BufReader::new(keeper.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        if first != "ready" {
            let rest: Vec<String> = lines.collect();
            panic!("PostgreSQL in {} does not start: {first}\n{}", bin.display(), rest.join("\n"));
        }
        Self { folder, port, keeper }
    }

    /// The address of a database on it.
    pub(crate) fn url(&self, database: &str) -> String {
        let socket = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://tester@{socket}:{}/{database}", self.port)
    }

    /// A plain connection to a database on it.
    pub(crate) fn client(&self, database: &str) -> Client {
        Client::connect(&self.url(database), NoTls).expect("it connects")
    }

    /// Runs statements on the database that is always there.
    pub(crate) fn admin(&self, sql: &str) {
        // One at a time: a database is made from another one, which nobody else may have open then.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        self.client("postgres").batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// A new, empty database.
    pub(crate) fn database(&'static self) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Relaxed));
        self.admin(&format!("CREATE DATABASE {name}"));
        Database { cluster: self, name }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A database that goes when it is dropped.
pub(crate) struct Database {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    pub(crate) fn location(&self) -> Location {
        Location::Postgres(self.url())
    }

    pub(crate) fn client(&self) -> Client {
        self.cluster.client(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.cluster.admin(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// The folder of `initdb` and the other programs: the newest version of Debian's, or what is in the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| (0, folder));
    let is_there = |folder: &Path| folder.join("initdb").exists() && folder.join("pg_ctl").exists();
    let found =
        debian.chain(in_path).filter(|(_, folder)| is_there(folder)).max_by_key(|&(version, _)| version);
    found
        .map(|(_, folder)| folder)
        .expect("PostgreSQL's server programs are installed: run `cargo xtask setup`")
}
