//! Over QUIC (RFC 9250).

use super::super::quic_code;
use super::ClientError;
use shroud_dns::frame::framed;
use shroud_dns::{MAX_MESSAGE, Query, QueryOptions, Question, Reply};
use shroud_quic::{Connection, ConnectionPool};
use shroud_runtime::Runtime;
use std::net::SocketAddr;

pub(super) async fn ask<R: Runtime>(
    pool: &ConnectionPool<R>,
    server: SocketAddr,
    name: &str,
    question: &Question,
    options: QueryOptions,
) -> Result<Reply, ClientError> {
    // The stream tells which answer it is: the id is 0 (RFC 9250, 4.2.1).
    let query = Query::encode(question, &options, 0, &mut |_| {});
    let query = query.map_err(|error| ClientError::Unencodable(error.to_string()))?;
    let connection = pool.get(name, server).await?;
    match exchange(&connection, &query).await {
        // The connection that was kept is gone: one more, made now.
        Err(_) if connection.close_reason().is_some() => {
            exchange(&pool.get(name, server).await?, &query).await
        }
        outcome => outcome,
    }
}

async fn exchange(connection: &Connection, query: &Query) -> Result<Reply, ClientError> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let bytes = framed(query.as_bytes()).ok_or(ClientError::QuicFraming)?;
    send.write_all(&bytes).await?;
    send.finish()?;
    let answer = receive.read_to_end(MAX_MESSAGE + 2).await?;
    let framing = answer.split_first_chunk::<2>();
    let framing =
        framing.filter(|(length, message)| usize::from(u16::from_be_bytes(**length)) == message.len());
    let Some((_, message)) = framing else {
        connection.close(quic_code::PROTOCOL_ERROR, b"");
        return Err(ClientError::QuicFraming);
    };
    Ok(query.check_stream(message)?)
}
