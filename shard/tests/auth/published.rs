//! The examples of RFC 7515, appendix A, and RFC 8037, appendix A: keys, tokens and signatures that others have made.

use ringmain_shard::auth::{TokenRefusal, TokenVerifier, read_jwks};

use crate::fixture::verifier;

/// When the tokens of RFC 7515 end.
const ENDS_AT_S: u64 = 1_300_819_380;
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const HS256_KEY: &str = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const HS256: (&str, &str) = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
);
const RS256_KEY: &str = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
const RS256: (&str, &str) = (
    "eyJhbGciOiJSUzI1NiJ9",
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);
const ES256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ES256: (&str, &str) = (
    "eyJhbGciOiJFUzI1NiJ9",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
);
const EDDSA_KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn with_key(key: &str) -> TokenVerifier {
    let set = read_jwks(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).expect("a set");
    verifier(set.keys)
}

#[test]
fn the_tokens_of_rfc_7515_are_taken_until_they_end() {
    for (key, (header, signature)) in [(HS256_KEY, HS256), (RS256_KEY, RS256), (ES256_KEY, ES256)] {
        let token = format!("{header}.{CLAIMS}.{signature}");
        let verifier = with_key(key);
        let answer = verifier.verify(&token, ENDS_AT_S - 1);
        let grant = answer.unwrap_or_else(|refusal| panic!("{header}: {refusal}"));
        assert_eq!(grant.expires_at_s, Some(ENDS_AT_S));
        assert!(grant.rights.are_none());
        let later = verifier.verify(&token, ENDS_AT_S);
        assert_eq!(later.expect_err("is refused"), TokenRefusal::Expired);
        let wrong = token.replace(CLAIMS, &CLAIMS.replace("eyJp", "eyJq"));
        let refusal = verifier.verify(&wrong, 0).expect_err("is refused");
        assert_eq!(refusal, TokenRefusal::BadSignature);
    }
}

#[test]
fn the_signature_of_rfc_8037_is_right() {
    // What it signs is no JSON, which is looked at only once the signature is right.
    let verifier = with_key(EDDSA_KEY);
    let refusal = verifier.verify(EDDSA, 0).expect_err("is refused");
    assert_eq!(refusal, TokenRefusal::Malformed);
    let wrong = EDDSA.replace("RXhh", "RXhi");
    let refusal = verifier.verify(&wrong, 0).expect_err("is refused");
    assert_eq!(refusal, TokenRefusal::BadSignature);
}
