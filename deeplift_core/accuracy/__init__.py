"""What is promised of sums of contributions, and how the promise is kept in float32."""
