//! Guests: codes that let browsers in, and where those go.

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use serde_json::json;
use tensor::oip::Parameters;

use super::answer::{Style, refuse};
use super::body;
use super::gate::{Caller, admin};
use super::oip::Refused;
use crate::error::ServiceError;
use crate::service::Service;

/// `POST /v2/invitations`
pub(super) async fn invite(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    admin(&caller, "invite guests")?;
    let _: Parameters = body::json(&service, &headers, body).await?;
    let Some(guests) = &service.parts().guests else {
        return Err(ServiceError::NoInvitation("this server takes none".to_owned()).into());
    };
    let invited = guests.invite().map_err(ServiceError::NoInvitation)?;
    let seconds = invited.expires_in.as_secs();
    Ok(Json(json!({ "code": invited.code, "url": invited.url, "expires_in_s": seconds })).into_response())
}

/// `GET /join`: sends on to the page server. Browsers take the fragment, in which the code stands, with them.
pub(super) async fn join(State(service): State<Service>) -> Response {
    match service.parts().guests.as_ref().and_then(|guests| guests.join_url()) {
        Some(url) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response(),
        None => refuse(Style::of("/join", None), &ServiceError::NoRoute("/join".to_owned())),
    }
}
