//! A proxy for TCP whose connections can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on, until they are cut.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    cut: Arc<watch::Sender<()>>,
    open: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy to this address.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cut = Arc::new(watch::Sender::new(()));
        let open = Arc::new(AtomicUsize::new(0));
        let (cuts, count) = (Arc::clone(&cut), Arc::clone(&open));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((mut inner, _)) = listener.accept().await else { return };
                let mut cut = cuts.subscribe();
                let count = Arc::clone(&count);
                connections.spawn(async move {
                    let Ok(mut outer) = TcpStream::connect(to).await else { return };
                    let _ = (inner.set_nodelay(true), outer.set_nodelay(true));
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
                        _ = cut.changed() => {}
                    }
                    count.fetch_sub(1, Ordering::Relaxed);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, cut, open, task }
    }

    /// Cuts every connection that is open, and says how many there were.
    pub fn cut(&self) -> usize {
        let open = self.open.load(Ordering::Relaxed);
        self.cut.send_replace(());
        open
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address")
}
