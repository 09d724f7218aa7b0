<?php
// Receives the daemon's webhook. RECONCILER_WEBHOOK_SECRET is the daemon's.
declare(strict_types=1);

$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$time = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$key = base64_decode(substr(getenv('RECONCILER_WEBHOOK_SECRET'), strlen('whsec_')));
$want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$time.$body", $key, true));
if (abs(time() - (int) $time) > 300 || !hash_equals($want, $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '')) {
    http_response_code(401);
    exit;
}
$event = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
// Ship here, and only once for each order: an event may come twice. Answer 2xx when it is done, within 10 seconds.
error_log($event['event'] . ' ' . $event['data']['mer_order_id']);
http_response_code(204);
