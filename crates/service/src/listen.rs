//! Connections: accepted, shaken hands with, bounded, and let go in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::security::{ListenError, Tls, TlsError, TlsFiles, may_listen};
use crate::service::{LOG, Service};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait where the system has no room for another connection.
const BREATHER: Duration = Duration::from_millis(50);
/// Connections that the system may hold until they are accepted. The usual 128 are used up within milliseconds when many
/// connect, and whoever finds no room tries again only after a second.
const BACKLOG: u32 = 4_096;
/// Bytes of a request's head; more is answered with 431.
const HEAD_BYTES: usize = 64 << 10;

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is too wide.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS cannot be offered.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a server listens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListenConfig {
    /// The address. Default 127.0.0.1:8000.
    pub address: SocketAddr,
    /// The files for TLS. Default: none, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether anybody may ask where the address can be reached from elsewhere and no token is set. Default: no.
    pub allow_anyone: bool,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 8_000)), tls: None, allow_anyone: false }
    }
}

impl ListenConfig {
    /// Checks what can be checked before anything is started: whether the address may be listened on, with `tokens` or
    /// without, and whether the files of TLS can be used now.
    ///
    /// # Errors
    /// What [`Service::listen`] would refuse as well.
    pub fn check(&self, tokens: bool) -> Result<(), ServeError> {
        may_listen(self.address, tokens, self.allow_anyone)?;
        if let Some(files) = &self.tls {
            Tls::read(files, SystemTime::now())?;
        }
        Ok(())
    }
}

/// A server that listens. HTTP/1.1, HTTP/2 and gRPC come by the same address.
///
/// Dropping it closes every connection at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}

impl Service {
    /// Listens, and answers what comes.
    ///
    /// # Errors
    /// An address that is too wide or taken, or files of TLS that cannot be used. Nothing listens then.
    #[allow(
        clippy::unused_async,
        reason = "it needs a runtime, and addresses may have to be waited for one day"
    )]
    pub async fn listen(&self, config: ListenConfig) -> Result<Server, ServeError> {
        let ListenConfig { address, tls, allow_anyone } = config;
        let checked = may_listen(address, self.tokens().needed(), allow_anyone);
        checked.inspect_err(|_| self.counters().refused("listen_refused"))?;
        let tls = tls.map(|files| Tls::read(&files, SystemTime::now())).transpose();
        let tls = tls.inspect_err(|_| self.counters().refused("certificate_refused"))?;
        let bind = |source| ServeError::Bind { address, source };
        let listener = listener(address).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let server = Server {
            address,
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let accepting = Accepting {
            service: self.clone(),
            router: crate::http::router(self.clone()),
            tls,
            room: Arc::new(Semaphore::new(self.limits().max_connections)),
            stop: server.stop.clone(),
            abort: server.abort.clone(),
            tasks: server.tasks.clone(),
        };
        server.tasks.spawn(accepting.run(listener));
        Ok(server)
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the library does it where it binds by itself: a server that starts anew need not wait for old connections.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Where it listens; the port is the one that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections, lets those that are there finish the request that they are at, for `limit` at most, and
    /// waits for every task.
    pub async fn shutdown(self, limit: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }
}

struct Accepting {
    service: Service,
    router: Router,
    tls: Option<Tls>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Accepting {
    async fn run(self, listener: TcpListener) {
        let this = Arc::new(self);
        loop {
            let room = tokio::select! {
                room = Arc::clone(&this.room).acquire_owned() => room,
                () = this.stop.cancelled() => return,
            };
            // The semaphore is never closed.
            let Ok(room) = room else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = this.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Arc::clone(&this);
                    this.tasks.spawn(async move {
                        connection.service.counters().opened();
                        connection.serve(stream, peer).await;
                        connection.service.counters().closed();
                        drop(room);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: what is open goes on, and some of it will end.
                    this.service.counters().refused("accept_failed");
                    tracing::warn!(target: LOG, %error, "a connection could not be accepted");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        // Answers are small, and their receivers wait for them.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => {
                // Whoever connects and says nothing is let go, as whoever stops in the middle of a head is.
                let mut byte = [0];
                let first = stream.peek(&mut byte);
                let spoke = tokio::select! {
                    spoke = tokio::time::timeout(self.service.limits().header_timeout, first) => spoke,
                    () = self.stop.cancelled() => return,
                };
                match spoke {
                    Ok(Ok(_)) => self.speak(stream, peer, auto::Builder::new(TokioExecutor::new())).await,
                    Ok(Err(_)) => {}
                    Err(_) => self.told("idle_connection", peer),
                }
            }
            Some(tls) => {
                let shaken = tokio::select! {
                    shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => shaken,
                    () = self.stop.cancelled() => return,
                };
                let failed = |why: &str| {
                    self.service.counters().refused("tls_handshake");
                    tracing::warn!(target: LOG, %peer, why, "a TLS handshake failed");
                };
                match shaken {
                    Ok(Ok(stream)) => {
                        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        let builder = auto::Builder::new(TokioExecutor::new());
                        let builder = if two { builder.http2_only() } else { builder.http1_only() };
                        self.speak(stream, peer, builder).await;
                    }
                    Ok(Err(error)) => failed(&error.to_string()),
                    Err(_) => failed("it took too long"),
                }
            }
        }
    }

    /// Counts and tells of a connection that is let go before it has asked for anything.
    fn told(&self, reason: &'static str, peer: SocketAddr) {
        self.service.counters().refused(reason);
        tracing::warn!(target: LOG, %peer, reason, "a connection is let go");
    }

    async fn speak<S>(&self, stream: S, peer: SocketAddr, mut builder: auto::Builder<TokioExecutor>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.service.limits();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEAD_BYTES)
            .keep_alive(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_BYTES as u32)
            .max_concurrent_streams(256)
            .keep_alive_interval(Some(limits.header_timeout))
            .keep_alive_timeout(limits.header_timeout);
        let service = TowerToHyperService::new(self.router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.abort.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            // A client that goes away in the middle is its own affair; a head that never came is ours to count.
            let late = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout);
            let wrong = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
            if late {
                self.told("header_timeout", peer);
            } else if wrong {
                self.told("malformed_http", peer);
            }
            tracing::debug!(target: LOG, %error, "a connection ended with an error");
        }
    }
}
