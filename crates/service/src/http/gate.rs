//! The gate: who asks, whether there is room, and what is told about it afterwards.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::answer::{Refusal, Style, refuse};
use crate::error::ServiceError;
use crate::security::Admitted;
use crate::service::{Going, LOG, Service};
use crate::trace::Trace;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Every route, so that labels are a fixed set.
const ROUTES: &[&str] = &[
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/stats",
    "/v2/models/{model}",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/config",
    "/v2/models/{model}/stats",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/versions/{version}/ready",
    "/v2/models/{model}/versions/{version}/config",
    "/v2/models/{model}/versions/{version}/stats",
    "/v2/models/{model}/versions/{version}/infer",
    "/v2/repository/index",
    "/v2/repository/models/{model}/load",
    "/v2/repository/models/{model}/unload",
    "/v2/telemetry",
    "/v2/invitations",
    "/v1/models",
    "/v1/models/{model}",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/chat/completions",
    "/metrics",
    "/openapi.json",
    "/v2/events",
    "/",
    "/live/{file}",
    "/live/plots/{file}",
    "/join",
    crate::grpc::ROUTE,
];

/// What a request is counted under whose caller went away before its answer: nginx's number, as for the pool's own.
const GONE: u16 = 499;

/// Bytes of a request id that are taken over from a caller.
const MOST_ID: usize = 128;

/// What a handler knows of its caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) admitted: Admitted,
    pub(crate) id: Arc<str>,
    pub(crate) trace: Trace,
}

/// Lets a request in or refuses it, and tells about it when its answer is over.
pub(super) async fn pass(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.uri().path();
    let style = Style::of(path, request.headers().get(header::CONTENT_TYPE));
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route =
        route.and_then(|path| ROUTES.iter().find(|known| **known == path)).copied().unwrap_or("other");
    let id = request_id(request.headers());
    let traceparent = request.headers().get(&TRACEPARENT).and_then(|value| value.to_str().ok());
    // Health tells one bit, and the page's files are the same for everybody: what it shows comes by `/v2/events`. Whoever is
    // sent on to join has a code, and no token of this server.
    let open =
        path.starts_with("/v2/health/") || path == "/" || path.starts_with("/live/") || path == "/join";
    let works = *request.method() == Method::POST;
    // Of looks at the server, nobody wants traces.
    let trace =
        if works { Trace::begin(service.parts().exporter.as_ref(), traceparent) } else { Trace::default() };
    let mut authorization =
        request.headers().get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let admitted = match (open, authorization.next(), authorization.next()) {
        (true, ..) => Ok(Admitted { name: None, admin: false }),
        // Whoever stands between may have looked at the other one.
        (false, Some(_), Some(_)) => {
            Err(ServiceError::Unauthorized("there is more than one Authorization header"))
        }
        (false, one, _) => service.tokens().admit(one, began),
    };
    let going = match (&admitted, works) {
        (Ok(_), true) => service.enter().map(Some),
        _ => Ok(None),
    };
    let method = request.method().clone();
    let (mut entered, mut who, mut refused) = (None, None, None);
    match (admitted, going) {
        (Ok(admitted), Ok(going)) => {
            (entered, who) = (going, admitted.name.clone());
            request.extensions_mut().insert(Caller { admitted, id: Arc::clone(&id), trace: trace.clone() });
        }
        (Err(error), _) | (_, Err(error)) => refused = Some(error),
    }
    let told = Told { method, route, id, who, trace, began, going: entered };
    // Cancellation safety: a caller who goes away before there is an answer drops this future, and the end tells so.
    let end = End { service, told: Some(told), status: GONE, refusal: None };
    let response = match refused {
        Some(error) => refuse(style, &error),
        None => words(style, next.run(request).await),
    };
    finish(response, end)
}

/// Puts what a layer refused without a word into the words of the protocol.
fn words(style: Style, response: Response) -> Response {
    // The layer that decompresses says what it reads, and nothing else.
    match response.headers().get(header::ACCEPT_ENCODING) {
        Some(known) if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let mut told = refuse(style, &ServiceError::UnknownEncoding);
            told.headers_mut().insert(header::ACCEPT_ENCODING, known.clone());
            told
        }
        _ => response,
    }
}

/// What is told about a request when it is over.
struct Told {
    method: Method,
    route: &'static str,
    id: Arc<str>,
    who: Option<Arc<str>>,
    trace: Trace,
    began: Instant,
    going: Option<Going>,
}

fn finish(mut response: Response, mut end: End) -> Response {
    end.refusal = response.extensions_mut().remove::<Refusal>();
    end.status = response.status().as_u16();
    let Some(Told { method, route, id, who, trace, .. }) = &end.told else { return response };
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    if let Some(value) = trace.header().and_then(|header| HeaderValue::from_str(&header).ok()) {
        response.headers_mut().insert(TRACEPARENT.clone(), value);
    }
    if let Some(refusal) = &end.refusal {
        end.service.counters().refused(refusal.reason);
        let (status, reason, message) = (end.status, refusal.reason, &*refusal.message);
        let who = who.as_deref().unwrap_or("");
        tracing::warn!(target: LOG, %method, route, status, reason, request = %id, token = who, message, "refused");
    }
    if end.service.is_draining() {
        // Whoever keeps the connection would find it closed.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Body::new(Watched { body, _end: end }))
}

/// Tells about a request when its answer was sent, or will never be.
struct End {
    service: Service,
    told: Option<Told>,
    status: u16,
    refusal: Option<Refusal>,
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(Told { method, route, id, who, trace, began, going }) = self.told.take() else { return };
        self.service.counters().answered(route, self.status, began.elapsed().as_secs_f64());
        let mut attributes = vec![
            ("http.request.method", method.to_string().into()),
            ("http.route", route.into()),
            ("webnn_pool.request_id", id.to_string().into()),
        ];
        if let Some(who) = who {
            attributes.push(("webnn_pool.token", who.to_string().into()));
        }
        let error = self.refusal.take().map(|refusal| refusal.message);
        trace.end(format!("{method} {route}"), self.status, attributes, error);
        drop(going);
    }
}

/// A body that knows when it is over.
struct Watched {
    body: Body,
    _end: End,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The caller's own id for a request, where it is one that can be repeated; otherwise a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let own = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let own = own
        .filter(|id| !id.is_empty() && id.len() <= MOST_ID && id.bytes().all(|byte| byte.is_ascii_graphic()));
    own.map_or_else(|| format!("{:016x}", rand::random::<u64>()).into(), Into::into)
}

/// Whether a caller may do what changes the server for everybody; `what` says it.
pub(super) fn admin(caller: &Caller, what: &'static str) -> Result<(), ServiceError> {
    if caller.admitted.admin { Ok(()) } else { Err(ServiceError::Forbidden(what)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[track_caller]
    fn check(id: &'static str, kept: bool) {
        let headers = HeaderMap::from_iter([(REQUEST_ID.clone(), HeaderValue::from_static(id))]);
        assert_eq!(&*request_id(&headers) == id, kept, "{id}");
    }

    #[test]
    fn the_document_describes_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(crate::http::OPENAPI).expect("it is JSON");
        let paths = document["paths"].as_object().expect("it has paths");
        let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        // gRPC has a description of its own.
        let routes: BTreeSet<&str> =
            ROUTES.iter().copied().filter(|&route| route != crate::grpc::ROUTE).collect();
        assert_eq!(described, routes);
    }

    #[tokio::test]
    async fn a_compression_that_is_not_known_is_refused_in_words() {
        for (style, of) in [(Style::Inference, "/error"), (Style::OpenAi, "/error/message")] {
            let mut bare = Response::new(Body::empty());
            *bare.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            bare.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip,deflate"));
            let told = words(style, bare);
            assert_eq!(told.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert!(told.extensions().get::<Refusal>().is_some());
            let body = axum::body::to_bytes(told.into_body(), 1 << 10).await.expect("a body");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert!(body.pointer(of).is_some_and(serde_json::Value::is_string), "{body}");
        }
    }

    #[test]
    fn ids_of_callers_are_kept_where_they_can_be_repeated() {
        check("abc-123", true);
        check("", false);
        check("with space", false);
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
