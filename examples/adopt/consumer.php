<?php
// Reads events by a cursor and handles each one. Start one process; a second one reads the same events.
// PGHOST, PGDATABASE, PGUSER, PGPASSWORD name the database. --once ends when nothing is left.
declare(strict_types=1);

$db = new PDO('pgsql:', null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$next = $db->prepare("SELECT xact::text AS xact, id, event, mer_order_id, payload FROM reconciler.next_order_events('php', 100)");
$ack = $db->prepare("SELECT reconciler.ack_order_events('php', CAST(? AS xid8), ?)");

function handle(array $event, array $payload): void
{
    // Ship here. An event may come twice: do nothing where the order is shipped already, or settled_before is true.
    echo $event['event'], ' ', $event['mer_order_id'], "\n";
}

do {
    $next->execute();
    $events = $next->fetchAll(PDO::FETCH_ASSOC);
    foreach ($events as $event) {
        handle($event, json_decode($event['payload'], true, 512, JSON_THROW_ON_ERROR));
        $ack->execute([$event['xact'], $event['id']]); // after the work: a crash in between repeats it
    }
    if (!$events) {
        sleep(in_array('--once', $argv, true) ? 0 : 1);
    }
} while ($events || !in_array('--once', $argv, true));
