//! A wire between the store and its server that breaks when it is told to.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What the store sends to commit: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// How the wire breaks at the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// Before the server hears of it.
    Before,
    /// When the server has done it, and before the store hears of that.
    After,
}

#[derive(Debug, Default)]
struct Plan {
    at_commit: Option<Break>,
    /// Whether there are no connections after that.
    then_refuse: bool,
    refuse: bool,
    ended: bool,
    open: Vec<(TcpStream, UnixStream)>,
}

/// The wire. It ends, with all its threads, when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    plan: Arc<Mutex<Plan>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A wire to the server that listens in this folder.
    pub(crate) fn to(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let (socket, shared) = (folder.join(".s.PGSQL.5432"), plan.clone());
        let thread = Some(std::thread::spawn(move || serve(&listener, &socket, &shared)));
        Self { port, plan, thread }
    }

    /// The address of a database through it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://tester@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Lets the wire break at the next commit; with `then_refuse` it stays broken.
    pub(crate) fn break_at_commit(&self, at: Break, then_refuse: bool) {
        let mut plan = lock(&self.plan);
        (plan.at_commit, plan.then_refuse) = (Some(at), then_refuse);
    }

    /// Breaks every connection that there is.
    pub(crate) fn break_now(&self) {
        lock(&self.plan).open.drain(..).for_each(|pair| cut(&pair));
    }

    /// Whether new connections are refused.
    pub(crate) fn refuse(&self, refuse: bool) {
        lock(&self.plan).refuse = refuse;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.break_now();
        lock(&self.plan).ended = true;
        // Whoever waits for a connection looks up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut((client, server): &(TcpStream, UnixStream)) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn serve(listener: &TcpListener, socket: &PathBuf, plan: &Mutex<Plan>) {
    std::thread::scope(|scope| {
        for client in listener.incoming().map_while(Result::ok) {
            let mut now = lock(plan);
            if now.ended {
                break;
            }
            if now.refuse {
                continue;
            }
            let Ok(server) = UnixStream::connect(socket) else { continue };
            let pair = || (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            now.open.push(pair());
            let (up, down) = (pair(), pair());
            let mute = Arc::new(AtomicBool::new(false));
            let muted = mute.clone();
            scope.spawn(move || upwards(up, plan, &mute));
            scope.spawn(move || downwards(down, &muted));
        }
    });
}

/// From the store to the server.
fn upwards((mut client, mut server): (TcpStream, UnixStream), plan: &Mutex<Plan>, mute: &AtomicBool) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let bytes = &bytes[..count];
        if bytes.windows(COMMIT.len()).any(|window| window == COMMIT) {
            let mut plan = lock(plan);
            let at = plan.at_commit.take();
            plan.refuse |= at.is_some() && plan.then_refuse;
            match at {
                Some(Break::Before) => break,
                Some(Break::After) => mute.store(true, SeqCst),
                None => {}
            }
        }
        if server.write_all(bytes).is_err() {
            break;
        }
    }
    cut(&(client, server));
}

/// From the server to the store.
fn downwards((mut client, mut server): (TcpStream, UnixStream), mute: &AtomicBool) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        // The answer to the commit has come, so it was done.
        if mute.load(SeqCst) || client.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    cut(&(client, server));
}
