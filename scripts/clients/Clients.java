import java.nio.file.*;
import java.sql.*;
import java.util.*;
import java.util.regex.*;

/** Runs the statements over JDBC: Clients URL STATEMENTS. */
public class Clients {
  static String answer(Statement s, String statement) {
    try {
      StringJoiner rows = new StringJoiner(";");
      if (s.execute(statement)) {
        try (ResultSet r = s.getResultSet()) {
          int n = r.getMetaData().getColumnCount();
          while (r.next()) {
            StringJoiner row = new StringJoiner(",");
            for (int i = 1; i <= n; i++) row.add(r.getString(i));
            rows.add(row.toString());
          }
        }
      }
      return rows.toString();
    } catch (Exception e) {
      Matcher m = Pattern.compile("Code: (\\d+)").matcher(String.valueOf(e.getMessage()));
      return "error " + (m.find() ? m.group(1) : e);
    }
  }

  public static void main(String[] args) throws Exception {
    try (Connection c = DriverManager.getConnection(args[0]); Statement s = c.createStatement()) {
      if (c.getMetaData().getDatabaseProductVersion().isEmpty()) throw new IllegalStateException("the server has no version");
      for (String line : Files.readAllLines(Path.of(args[1]))) {
        String[] part = line.split("\t", -1);
        if (part[0].equals("all") || part[0].equals("binary")) System.out.println(part[1] + "\t" + answer(s, part[1]));
      }
    }
  }
}
