//! The status codes of gRPC, and what other protocols' errors are in them.

use http::StatusCode;
use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $text:literal;)*) => {
        /// A status code (gRPC, "Status codes and their use in gRPC").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Code {
            $($(#[doc = $doc])* $name = $number,)*
        }

        impl Code {
            /// All of them, by number.
            pub const ALL: [Self; 17] = [$(Self::$name,)*];

            /// Its name, as the specification writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// It went well.
    Ok = 0, "OK";
    /// The caller gave it up.
    Cancelled = 1, "CANCELLED";
    /// Nothing better is known.
    Unknown = 2, "UNKNOWN";
    /// The request makes no sense, whatever state the server is in.
    InvalidArgument = 3, "INVALID_ARGUMENT";
    /// It took longer than it may. It may have been done all the same.
    DeadlineExceeded = 4, "DEADLINE_EXCEEDED";
    /// What was asked for is not there.
    NotFound = 5, "NOT_FOUND";
    /// What was to be made is there already.
    AlreadyExists = 6, "ALREADY_EXISTS";
    /// The caller is known, and may not do this.
    PermissionDenied = 7, "PERMISSION_DENIED";
    /// Something is used up: a quota, a limit, space.
    ResourceExhausted = 8, "RESOURCE_EXHAUSTED";
    /// The server is not in a state for this; to be repeated once that was put right.
    FailedPrecondition = 9, "FAILED_PRECONDITION";
    /// Another call was in the way; to be repeated from further up.
    Aborted = 10, "ABORTED";
    /// Past the end of what there is.
    OutOfRange = 11, "OUT_OF_RANGE";
    /// There is no such service, method or feature.
    Unimplemented = 12, "UNIMPLEMENTED";
    /// Something that never happens did, or a peer broke the protocol.
    Internal = 13, "INTERNAL";
    /// Not now; to be repeated later.
    Unavailable = 14, "UNAVAILABLE";
    /// Data is lost or damaged.
    DataLoss = 15, "DATA_LOSS";
    /// The caller has not said who they are.
    Unauthenticated = 16, "UNAUTHENTICATED";
}

impl Code {
    /// The code with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// From the value of `grpc-status`: [`Code::Unknown`] when that is none.
    pub(super) fn parse(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        number.and_then(|text| text.parse().ok()).and_then(Self::from_number).unwrap_or(Self::Unknown)
    }

    /// What an HTTP status without a `grpc-status` means to a client (gRPC, "HTTP to gRPC Status Code Mapping").
    #[must_use]
    pub fn of_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// What the reset of a stream means to a client (gRPC over HTTP2, "Errors").
    pub(super) fn of_reset(reason: h2::Reason) -> Self {
        match reason {
            h2::Reason::REFUSED_STREAM => Self::Unavailable,
            h2::Reason::CANCEL => Self::Cancelled,
            h2::Reason::ENHANCE_YOUR_CALM => Self::ResourceExhausted,
            h2::Reason::INADEQUATE_SECURITY => Self::PermissionDenied,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(code.number()), number);
            assert_eq!(Code::parse(number.to_string().as_bytes()), code);
        }
        for nonsense in ["17", "-1", "", "+3", " 3", "256", "99999999999", "x"] {
            assert_eq!(Code::parse(nonsense.as_bytes()), Code::Unknown, "{nonsense:?}");
        }
        assert_eq!(Code::DeadlineExceeded.to_string(), "DEADLINE_EXCEEDED");
    }
}
