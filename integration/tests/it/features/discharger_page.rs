//! Every block of docs/discharger.md that is not bytes of its example: the commands run as they are written, in order,
//! in a fresh directory, and an outside discharger that follows the page allows a boot. `policy/tests/api/discharger.rs`
//! compares the example.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use data_encoding::BASE64;
use petsem_api::{AppId, AppRef, ErrorCode, MachineId, OrgId};
use petsem_client::{BootFlow, BootFlowError, CallError, Client, Credentials, Endpoint};
use petsem_integration::dev::{flyv1, now};
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::page::{Block, blocks_in};
use petsem_integration::server::{binary, run};
use petsem_policy::{BootGrant, SharedKey, Ticket};
use serde_json::Value;

use super::dischargers::{AUTH, discharge};

const PAGE: &str = include_str!("../../../../docs/discharger.md");
const GREETING: &str = "vouched for by auth.example";
/// What `Authorization` has. What the service accepts there is its own matter.
const PROOF: &str = "proof-of-ann";

/// What is there before the page begins: a server, a second operator, an app of an org, and the token of its owner.
const BEFORE: &str = "
petsem org create acme
petsem app create shop --org acme
petsem operator recover --config petsem.toml --operator bo@example.com --out bo.token
petsem operator owner --config petsem.toml --org acme --owner grace@example.com --out owner.token
";

fn blocks<const N: usize>(language: &str) -> [Block<'static>; N] {
    blocks_in(PAGE, language).try_into().unwrap()
}

/// A line as a person would run it: it copies the id that the command before printed, and the second operator has a
/// token of its own.
fn line(line: &str) -> String {
    let command = line.split("  #").next().unwrap().trim_end();
    if command.starts_with("petsem discharger add") || command.starts_with("petsem host enroll") {
        return format!("{command} > asked");
    }
    if command.starts_with("petsem approve ID") {
        let id = "$(sed -n 's/.*that person types: petsem approve \\([0-9a-f-]*\\).*/\\1/p' asked)";
        return format!("{} --token-file bo.token", command.replace("ID", id));
    }
    line.to_owned()
}

/// Runs lines in the directory of an installation, as its first operator.
fn types(installation: &Installation, endpoint: &str, lines: &str) -> String {
    let mut command = Command::new("bash");
    let path = format!("{}:/usr/bin:/bin", binary().parent().unwrap().display());
    command.args(["-euxo", "pipefail", "-c", lines]).env_clear().env("PATH", path);
    command.env("PETSEM_ENDPOINT", endpoint).env("PETSEM_TOKEN_FILE", "operator.token");
    command.current_dir(installation.directory.path());
    let ended = run(command);
    assert!(ended.status.success(), "{lines}: {}", ended.printed);
    ended.printed
}

/// The service, for one request: whoever proves to be ann may boot that Machine. It knows what the page says, and
/// returns the body that it got.
struct Service {
    key: [u8; 32],
    /// The grant, but for the Machine, which the request names.
    grant: BootGrant,
}

impl Service {
    fn serve(self, listener: TcpListener) -> JoinHandle<Value> {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => head.push(line.to_ascii_lowercase()),
                }
            }
            assert_eq!(head[0], "post /.well-known/macfly/3p http/1.1");
            let header =
                |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            assert_eq!(header("content-type"), Some("application/json"));
            assert_eq!(header("authorization"), Some(format!("bearer {PROOF}").as_str()));
            let mut body = vec![0; header("content-length").unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();

            let sealed = BASE64.decode(body["ticket"].as_str().unwrap().as_bytes()).unwrap();
            let ticket = Ticket::open(&sealed, &SharedKey::new(self.key)).unwrap();
            let conditions: Vec<u64> = ticket.caveats().iter().map(petsem_policy::Caveat::kind).collect();
            assert_eq!(conditions, [65541, 65539]);
            let grant = BootGrant { machine: body["machine"].as_str().unwrap().to_owned(), ..self.grant };
            let answer = serde_json::json!({"discharge": discharge(&ticket, grant)}).to_string();
            let head = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
            body
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_the_page_works_as_written_in_order_up_to_a_boot_and_its_revocation() {
    let [set_up, revoke] = blocks("sh");
    let [policy, request, provenance] = blocks("json");
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let endpoint = format!("http://{}", server.address());
    let typed = |lines: &str| types(&installation, &endpoint, lines);
    typed(BEFORE);
    typed(&format!("printf '{GREETING}' | petsem secrets set GREETING --stdin --app shop"));

    std::fs::write(installation.path("policy.json"), policy.text).unwrap();
    let lines: Vec<String> = set_up.text.lines().map(line).collect();
    let printed = typed(&lines.join("\n"));
    assert!(printed.contains("the policy of shop is at version 1"), "{printed}");
    assert!(!printed.contains("note: other users of this machine"), "{printed}");

    let operator = flyv1(&installation.operator());
    let app = Request::new("GET", "/v1/apps/shop").authorization(&operator).send(server.address());
    let key = std::fs::read_to_string(installation.path("shared.key")).unwrap();
    let service = Service {
        key: BASE64.decode(key.trim().as_bytes()).unwrap().try_into().unwrap(),
        grant: BootGrant {
            org: *app.field("org").parse::<OrgId>().unwrap().as_bytes(),
            app: *app.field("id").parse::<AppId>().unwrap().as_bytes(),
            machine: String::new(),
            host: "host-1".to_owned(),
            expires: now() + 60,
            // Before the second of the revocation.
            provenance: provenance.text.trim_end().replace("1800000000", &(now() - 5).to_string()),
        },
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let of_the_service = Endpoint::loopback(listener.local_addr().unwrap()).unwrap();
    let serving = service.serve(listener);

    let client = Client::builder(vec![Endpoint::loopback(server.address()).unwrap()]);
    let client = client.discharger(AUTH, vec![of_the_service]).build();
    let host = Credentials::read_file(&installation.path("host-1.token")).unwrap();
    let flow = BootFlow::new(Arc::new(client), host).unwrap();
    let (app, machine): (AppRef, MachineId) = ("shop".parse().unwrap(), "machine-1".parse().unwrap());
    let proof = Credentials::new(PROOF).unwrap();
    let booted = flow.boot(&app, &machine, None, Some(&proof)).await.unwrap();
    let bundle = booted.bundle();
    let got: Vec<(&str, &[u8])> =
        bundle.expose_secrets().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(got, [("GREETING", GREETING.as_bytes())]);

    // The request has the fields of the page.
    let mut asked = serving.join().unwrap();
    assert_eq!(asked["app"], "shop");
    asked["app"] = "<id or name>".into();
    asked["ticket"] = "<standard base64>".into();
    assert_eq!(asked, serde_json::from_str::<Value>(request.text).unwrap());

    // By the renewal, until both lines of the last block ran.
    assert_eq!(flow.boot(&app, &machine, None, None).await.unwrap().bundle().len(), 1);
    let printed = typed(revoke.text);
    assert_eq!(printed.matches("and their renewals, are revoked").count(), 2, "{printed}");
    let refused = flow.boot(&app, &machine, None, None).await.unwrap_err();
    let BootFlowError::Boot(CallError::Refused { code, .. }) = refused else { panic!("{refused}") };
    assert_eq!(code, ErrorCode::Revoked);
}
