//! Over HTTPS (RFC 8484).

use super::super::MEDIA_TYPE;
use super::ClientError;
use crate::http::{Body, Client as HttpClient, Request, StatusCode, Uri, header};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use shroud_dns::{Query, QueryOptions, Question, Reply};
use shroud_runtime::Runtime;

/// How a question goes into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HttpsMethod {
    /// As a body.
    #[default]
    Post,
    /// In the address, so that caches on the way can answer.
    Get,
}

pub(super) async fn ask<R: Runtime>(
    client: &HttpClient<R>,
    address: &Uri,
    method: HttpsMethod,
    question: &Question,
    options: QueryOptions,
) -> Result<Reply, ClientError> {
    // Equal questions are equal requests, which caches like: the id is 0 (RFC 8484, 4.1).
    let query = Query::encode(question, &options, 0, &mut |_| {});
    let query = query.map_err(|error| ClientError::Unencodable(error.to_string()))?;
    let request = match method {
        HttpsMethod::Post => Request::post(address)
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::ACCEPT, MEDIA_TYPE)
            .body(Body::from(query.as_bytes().to_vec()))?,
        HttpsMethod::Get => {
            let text = Base64UrlUnpadded::encode_string(query.as_bytes());
            let join = if address.query().is_some() { '&' } else { '?' };
            Request::get(format!("{address}{join}dns={text}"))
                .header(header::ACCEPT, MEDIA_TYPE)
                .body(Body::empty())?
        }
    };
    let response = client.send(request).await?;
    if response.status() != StatusCode::OK {
        return Err(ClientError::HttpStatus(response.status()));
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| super::super::server::is_media_type(kind.as_bytes())) {
        return Err(ClientError::HttpContent);
    }
    Ok(query.check_stream(response.body())?)
}
