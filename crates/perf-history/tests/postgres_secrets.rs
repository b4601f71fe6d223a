//! Passwords, which are never shown, and encryption, which is always verified.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::net::TcpListener;
use std::process::Command;

use cluster::Cluster;
use perf_history::store::PostgresStore;
use perf_history::{HistoryStore, Location, StoreError};
use support::{MIDNIGHT, mixed};

/// Where a child process finds the address that it is to open.
const ADDRESS: &str = "PERF_HISTORY_TEST_ADDRESS";

/// A certificate for this host that nobody has signed but itself, and its key.
fn certificate() -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '))
        .args(["-subj", "/CN=perf-history test", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key", "-out", "certificate"])
        .current_dir(folder.path())
        .output()
        .expect("openssl, which comes with PostgreSQL, is installed: run `cargo xtask setup`");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it reads");
    (read("certificate"), read("key"))
}

/// A server on a port of this host that wants passwords, and encrypts.
fn encrypting() -> (Cluster, u16) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port").port();
    let (certificate, key) = certificate();
    let rules = "local all tester trust\nhost all all all scram-sha-256\n";
    let files = [("certificate", certificate.as_str()), ("key", &key), ("rules", rules)];
    let settings = "-c listen_addresses=localhost -c ssl=on -c ssl_cert_file=FOLDER/certificate \
         -c ssl_key_file=FOLDER/key -c hba_file=FOLDER/rules";
    let cluster = Cluster::start(port, settings, &files);
    (cluster, port)
}

#[test]
fn passwords_are_used_and_never_shown_and_encryption_is_verified() {
    if let Ok(address) = std::env::var(ADDRESS) {
        // The child process, which trusts the certificate.
        let mut store = PostgresStore::open(&address).expect("it opens");
        return store.append(&mixed(5, MIDNIGHT)).expect("they are added");
    }
    let (cluster, port) = encrypting();
    cluster.admin("CREATE ROLE someone SUPERUSER LOGIN PASSWORD 'se#cret'");
    let address = |password: &str, mode: &str| {
        format!("postgres://someone:{password}@localhost:{port}/postgres?sslmode={mode}")
    };

    let store = PostgresStore::open(&address("se%23cret", "disable")).expect("it opens");
    assert!(!format!("{store:?}").contains("cret"), "{store:?}");
    drop(store);
    for wrong in [
        address("secret", "disable"),
        address("se@cret", "disable"),
        address("secret", "sometimes"),
        address("secret", "require"),
        format!("postgres://localhost:x{port}/?password=secret"),
    ] {
        let error = PostgresStore::open(&wrong).expect_err("it is refused");
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        let location: Location = wrong.parse().expect("an address");
        assert!(!format!("{error} {error:?} {location:?}").contains("cret"), "{error:?}");
    }

    for mode in ["prefer", "require", "verify-full"] {
        let error = PostgresStore::open(&address("se%23cret", mode)).expect_err("nobody has signed it");
        assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    }
    let trusting = |host: &str, mode: &str| {
        let child = Command::new(std::env::current_exe().expect("our own path"))
            .args(["--exact", "passwords_are_used_and_never_shown_and_encryption_is_verified"])
            .env(ADDRESS, address("se%23cret", mode).replace("localhost", host))
            .env("SSL_CERT_FILE", cluster.folder.join("certificate"))
            .output()
            .expect("it starts");
        (child.status.success(), String::from_utf8_lossy(&child.stdout).into_owned())
    };
    for mode in ["prefer", "require", "verify-full"] {
        let (opened, output) = trusting("localhost", mode);
        assert!(opened, "{mode}: {output}");
    }
    let (opened, output) = trusting("127.0.0.1", "require");
    assert!(!opened && output.contains("NotValidForName"), "it is for another name: {output}");
}
