import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;

/** Reads events by a cursor and handles each one. java -cp postgresql.jar Consumer.java jdbc:postgresql://host/db?user=shop */
public class Consumer {
    static void handle(String event, String merOrderId, String payload) {
        // Ship here. An event may come twice: do nothing where the order is shipped already, or settled_before is true.
        System.out.println(event + " " + merOrderId);
    }

    public static void main(String[] args) throws SQLException, InterruptedException {
        try (Connection db = DriverManager.getConnection(args[0]);
                PreparedStatement next = db.prepareStatement(
                        "SELECT xact::text, id, event, mer_order_id, payload::text FROM reconciler.next_order_events('java', 100)");
                PreparedStatement ack = db.prepareStatement("SELECT reconciler.ack_order_events('java', CAST(? AS xid8), ?)")) {
            while (true) {
                int handled = 0;
                try (ResultSet events = next.executeQuery()) {
                    for (; events.next(); handled++) {
                        handle(events.getString(3), events.getString(4), events.getString(5));
                        ack.setString(1, events.getString(1)); // after the work: a crash in between repeats it
                        ack.setLong(2, events.getLong(2));
                        ack.execute();
                    }
                }
                if (handled == 0) {
                    Thread.sleep(1000);
                }
            }
        }
    }
}
