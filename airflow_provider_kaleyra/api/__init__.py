"""Everything that knows Kaleyra's wire format. Nothing here knows Airflow."""
