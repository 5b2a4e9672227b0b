//! How often GUIDs may be tried.

use std::time::Duration;

use super::act::{Client, detail, with_a_session};
use crate::daemon::end;
use crate::fixture::{Database, World};

#[test]
fn guids_are_tried_so_often_and_no_more() {
    let mut world = World::on(Database::Sqlite);
    world.write("desired-state/c.yaml", "hosts: [{session: 1}, {session: 215}]\n");
    let daemon = with_a_session(&mut world);
    let client = Client::new(&world, &daemon, "secrets");
    let verify = |session: u32, guid: &str| {
        client.post(&format!("/api/v1/hosts/{session}/verify"), &format!("{{\"guid\": \"{guid}\"}}"))
    };
    let guid = client.post("/api/v1/hosts/215/claim", "").expect(200).json()["guid"].as_str().unwrap().to_owned();
    for _ in 0..5 {
        assert_eq!(verify(215, "51179767-693b-49a1-b753-380ca3bb39f7").expect(200).json()["valid"], false);
    }
    // Not even what is right is told any more.
    let refused = verify(215, &guid).expect(429);
    assert_eq!(detail(&refused), "host/215 was tried 5 times in vain within 1m");
    let rest: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&rest), "{rest}");
    client.post("/api/v1/hosts/215/claim", "").expect(429);
    // Another host is another matter; and so is another second.
    std::thread::sleep(Duration::from_millis(1100));
    verify(1, "nonsense").expect(200);
    let statuses: Vec<u16> = (0..30).map(|_| client.post("/api/v1/hosts/999/claim", "").status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    end(daemon);
}
